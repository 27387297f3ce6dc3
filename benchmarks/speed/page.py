"""docs/speed.md: the tables of `make bench` as a page, so that all its figures are measured."""

import io
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "speed.md"

INTRODUCTION = """\
# How fast it is

Written by `make bench` on {machine}, float64 and one thread unless a table says otherwise. The
programs of one table take turns in one process. Times are medians. For a ratio, each round gives
one ratio, and the table shows their median. `!` marks a missed target.

The speed of this virtual machine varies. From one run of `make bench` to the next, the ratios of
the small networks changed by up to a third. A target that is narrowly missed here may be met
elsewhere, and the other way round.

NumPy and torch each have a pool of threads. If both sides work in one process and use more than one
thread each, the two pools compete for the cores, and a small step takes twenty times as long. Use
`--threads` only for networks so wide that a single matrix product uses all cores.
"""

# What profiling found, by the title of the table that it explains.
WHY = {
    "One training step, ms": """\
`bare` is the shortest NumPy program that computes the same new parameters. It uses a - y as the
derivative of loss and output together, writes results over their inputs, and checks, names and
keeps nothing. `manual` takes longer because its step can be judged: every tensor has a name and its
own memory, the loss and the output are differentiated separately, and shapes are checked. On 2-4-1
this is more than half of the step: some fifty NumPy calls of 1 to 8 us each on 400 rows. The most
expensive are the logarithms of the loss and the sums over the rows of narrow matrices. On the
widest network it is a few percent. That network does not reach the rate of a single large product
because of memory traffic: activations, gradients and new parameters are each written and read
again.
""",
    "One step of 64-128-64-10, batch 64, float64, one thread": """\
scikit-learn writes its gradients into arrays that it allocated once, and each activation over its
input. After a step no tensor is left that one could inspect. Bare NumPy keeps as little and just
about meets the target, so a step that keeps its tensors cannot meet it. JAX compiles the whole step
into one program. It has no calls between operations and keeps only the parameters.
""",
    "One step of each model, ms": """\
Processor time of one thread. `batch_norm` is forward and backward of the operation alone, on
(64, 16, 28, 28); the convnets read 64 digits, `char_lstm` 64 sequences of 16 characters, `gpt` (4
layers, 64 numbers for each position) 16 such sequences.

`char_lstm`: the backward of an LSTM is a function of what its forward was given and of its output.
So it computes the gates of all steps again, which takes a sixth of its time; torch keeps them. The
rest is 16 steps one after the other. Each makes about ten NumPy calls on 64 x 64 numbers, and each
call takes a few microseconds. In float32 torch's products are twice as fast, so these calls weigh
twice as much.

`batch_norm` in float64 goes over 6 MB 14 times, each time in one NumPy call, and the speed of
memory decides: between runs its ratio was 1.0 to 1.4. `gpt` computes erf by a formula of its own
(manual/erf.py): SciPy's erf computes one number at a time, and took a third of a step.
""",
    "Processor time of short commands": """\
`parity check` imports neither torch's compiler, which every optimizer of torch imports, nor
scikit-learn. Of `parity train` (500 steps on digits, what `make demo` runs) 1.7 s are importing
torch. Of its training, a third is replaying 51 steps of both sides in extended precision, a third
the steps of both sides and of the perturbed copy, and the rest comparing every tensor and drawing.
""",
    "Judging, of the steps": """\
`read once` is the time of one subtraction of the two sides, entry by entry. The comparison needs
five such passes (the difference, its absolute value and its maximum; the largest and the smallest
entry). All but the first work in the cache. On the digits network about a third of the time is
Python calls, a few for each of 41 small tensors. On the widest network it is memory access: 14
million entries on each side, and a single pass takes most of the target. In float32 the comparison
alone sometimes cannot distinguish rounding from a mistake. Such a step is replayed.

A replay computes every operation again in extended precision. It carries a bound, the error that
rounding can cause, with each number: two arrays where the step has one, in a format for which
processors have no vector instructions. Therefore only some steps are replayed (every tenth, or as
`--log-every` says, the first and the last), and the verdict says how many.
""",
    "Logging": """\
The share refers to a whole default run: curves at every step, histograms of every tensor at every
tenth step, and the pictures at the end.
""",
}


def write(tables: list[Table], machine: str, targets: list[str]) -> None:
    """The targets, then each table under its title."""
    text = io.StringIO()
    text.write(INTRODUCTION.format(machine=machine))
    text.write("\n## Targets\n\n" + "\n".join(targets) + "\n")
    console = Console(file=text, width=400)
    for table in tables:
        text.write(f"\n## {table.title}\n\n")
        why = WHY.get(str(table.title), "")
        table.title, table.box = None, box.MARKDOWN
        console.print(table)
        text.write(f"\n{why}")
    lines = (line.strip() for line in text.getvalue().splitlines())
    PAGE.write_text("\n".join(lines) + "\n", "utf-8")
