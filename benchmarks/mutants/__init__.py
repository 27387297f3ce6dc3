"""How strong are the tests of manual/? Small mistakes are planted in it; the tests must fail.

    python -m benchmarks.mutants --sample 300 --seed 1

A mutant is one small change to one place in the code: a sign, a comparison, a constant, a keyword
left out. It is killed if a test of the fast suite fails with it, and survives if they all pass.
equivalent.toml lists the mutants that change no behaviour (a cache that only saves time), each with
the reason; they do not count.

    mutators.py  the changes
    reach.py     which tests run which line
    running.py   one mutant: its tests, and what they say
    child.py     a function in a process of its own
"""
