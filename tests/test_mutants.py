"""The mutants of benchmarks/mutants: the changes, that tests kill them, and the equivalent ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mutants.__main__ import Outcome, all_mutants, equivalents, lines
from benchmarks.mutants.mutators import Mutant, mutants_of, mutated
from benchmarks.mutants.reach import FILES, ROOT

SOURCE = '''"""A docstring 1."""
LIMIT = 3


def half(x: "int", *, up: bool = True) -> int:
    """Another 2."""
    if x < LIMIT and up:
        raise ValueError("too small: 5")
    return -x // 2
'''


def test_the_changes_of_a_small_module() -> None:
    assert [f"{m.line} {m.function}: {m.change}" for m in mutants_of("half.py", SOURCE)] == [
        "2 : LIMIT = 3 -> LIMIT = 4",
        "2 : LIMIT = 3 -> LIMIT = 2",
        "5 : x: 'int', *, up: bool=True -> x: 'int', *, up: bool=False",
        "7 half: if x < LIMIT and up -> if not (x < LIMIT and up)",
        "7 half: x < LIMIT and up -> x < LIMIT or up",
        "7 half: x < LIMIT -> x <= LIMIT",
        "7 half: x < LIMIT -> x >= LIMIT",
        "8 half: raise ValueError('too small: 5') -> pass",
        "9 half: -x // 2 -> -x / 2",
        "9 half: -x -> x",
        "9 half: -x // 2 -> -x // 3",
        "9 half: -x // 2 -> -x // 1",
    ]


def test_a_mutant_is_the_module_with_one_change() -> None:
    for mutant in mutants_of("half.py", SOURCE):
        made: dict[str, int] = {}
        exec(mutated(SOURCE, mutant, Path("half.py")), made)
        limit = 3 + {"LIMIT = 4": 1, "LIMIT = 2": -1}.get(mutant.change.split(" -> ")[1], 0)
        assert made["LIMIT"] == limit


SURVEY = """
from benchmarks.mutants.__main__ import all_mutants, survey
from benchmarks.mutants.reach import Reach

TEST = "tests/test_bias_variance.py::test_bias_and_variance_are_differences"
wanted = {
    "train_error - base_error -> train_error + base_error": "killed",
    "bias > gap -> bias >= gap": "survived",  # another test sees it
    "@dataclass(frozen=True) Diagnosis -> Diagnosis": "killed",
}
mutants = [m for m in all_mutants("bias_variance.py") if m.change in wanted]
reach = Reach({}, {TEST: {"bias_variance.py": {m.line for m in mutants}}})
reach.at_import["bias_variance.py"] = {m.line for m in mutants if not m.function}
found = []
survey(mutants, reach, 2, found.append)
assert {o.mutant.partition(": ")[2]: o.outcome for o in found} == wanted, found
"""


@pytest.mark.slow
def test_a_mutant_is_killed_by_the_test_that_sees_it() -> None:
    ran = subprocess.run([sys.executable, "-c", SURVEY], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr + ran.stdout


def test_equivalent_mutants_are_mutants_with_a_reason() -> None:
    names = {m.name for m in all_mutants()}
    for name, why in equivalents().items():
        assert name in names, f"{name} is no mutant (any more)"
        assert why, name


def test_the_files_that_kill_are_there() -> None:
    assert [f for f in FILES if not (ROOT / f).exists()] == []


def test_equivalent_mutants_do_not_count_in_the_score() -> None:
    made = [
        Outcome("ops/a.py", 1, "a", "killed"),
        Outcome("ops/a.py", 2, "b", "equivalent"),
        Outcome("ops/b.py", 3, "c", "survived"),
    ]
    text = list(lines(made))
    assert text[2:] == ["| `ops/` | 3 | 1 | 1 | 1 | 50.0% |", "| all | 3 | 1 | 1 | 1 | 50.0% |"]


def test_a_mutant_is_named_without_its_line() -> None:
    assert Mutant("a.py", 9, "f", "x -> y", 2, 0, 0).name == "a.py f: x -> y #2"
