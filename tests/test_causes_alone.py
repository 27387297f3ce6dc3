"""Known mistakes of operations that no small model contains: planted in each operation by itself,
with each of its options, in each form, on either side."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from torch_parity.compare.causes import ALONE, recurrent
from torch_parity.compare.causes.cause import Cause
from torch_parity.compare.causes.plant import execute, only_by_hand, outputs_read_back, plant
from torch_parity.compare.flow.functions import once_more
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.judge.judge import SIDES, Judgement, Side
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.register.row import Operation
from torch_parity.compare.sources.one_operation import KINDS, alone
from torch_parity.compare.sources.recorded import Both

ROWS = [row for row in OPERATIONS.values() if row.kind in KINDS]

slow = pytest.mark.slow
# A diagnosis tries every mistake through time; tests/test_recurrent.py has the quick ones.
CAUSES = [pytest.param(c, id=c.name, marks=[slow] if c in recurrent.CAUSES else []) for c in ALONE]
# once in each operation in every run; with each option and kind of numbers in the slow ones
THOROUGH = [
    ("manual", "float64", False),
    ("torch", "float32", False),
    *(
        pytest.param(side, dtype, True, marks=slow)
        for side in SIDES
        for dtype in ("float64", "float32")
    ),
]


@cache
def steps_of(name: str, dtype: str) -> list[Both]:
    return list(alone(OPERATIONS[name], dtype, seed=number_of(name)))


def planted(cause: Cause, way: int, step: Both, side: Side, seed: int) -> Judgement | None:
    known = step.known_to(side, 1)
    rng = np.random.default_rng(seed)
    nodes = plant(cause, step.nodes, known, step.trace(side), rng, way)
    if nodes is None:
        return None
    try:
        return step.judge_instead(side, execute(nodes, known, side), 1)
    except (ValueError, RuntimeError):
        return None  # it does not run with these shapes


@pytest.mark.every(4)
@pytest.mark.parametrize(("side", "dtype", "thorough"), THOROUGH)
@pytest.mark.parametrize("cause", CAUSES)
def test_it_is_named_wherever_it_shows(
    cause: Cause, side: Side, dtype: str, thorough: bool
) -> None:
    shown: set[tuple[str, int]] = set()
    for row in ROWS:
        for number, step in enumerate(steps_of(row.name, dtype)):
            for way in range(len(cause.ways)):
                if not thorough and (row.name, way) in shown:
                    continue
                if side == "torch" and only_by_hand(cause, way, step.nodes):
                    shown.add((row.name, way))
                    continue
                found = planted(cause, way, step, side, seed=number)
                if found is None or found.passed:
                    continue
                shown.add((row.name, way))
                where = f"{cause.name}, way {way}, {row.name} {step.nodes[0].options}, {number}"
                assert found.wrong_sides == (side,), where
                names = found.diagnoses[side].names
                assert frozenset({cause.name}) in names, f"{where}: {names}"
                assert found.diagnoses[side].unexplained == (), where
    ways = {way for _, way in shown}
    assert ways == {*range(len(cause.ways))}, f"of {cause.name} show only the forms {ways}"


@pytest.mark.every(3)
@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=slow)])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_another_mistake_has_no_name(row: Operation, side: Side, thorough: bool) -> None:
    """Each output by itself bent by 1.1% of its square; what reads it reads that, but
    autograd, which reads the output that it computed itself. The last states of a recurrence
    are judged from its output as it was recorded."""
    for step in steps_of(row.name, "float64")[: None if thorough else 1]:
        forward, backward = step.nodes
        for name in step.trace(side):
            nodes = tuple(bent(node, name) for node in step.nodes)
            found = step.judge_instead(side, execute(nodes, step.known_to(side, 1), side), 1)
            where = f"{name} of {row.name} {forward.options}"
            wrong = [name]
            if name == "output" and once_more(forward):
                wrong += forward.outputs[1:]
            if side == "torch" and name in outputs_read_back(step.nodes):
                wrong += backward.outputs
            assert found.wrong == {**dict.fromkeys(SIDES, ()), side: tuple(wrong)}, where
            assert found.diagnoses[side].verdict == "unknown", where


def bent(node: Node, name: str) -> Node:
    def formula(f: Any, *inputs: Any, **options: Any) -> Any:
        made = f[node.operation](*inputs, **options)
        many = made if isinstance(made, tuple) else (made,)
        named = zip(node.outputs, many, strict=True)
        return tuple(x + 0.011 * square(x) if n == name else x for n, x in named)

    return replace(node, formula=formula)


def square(x: Any) -> Any:
    """1 where all is 0, as in a first state: the mistake would not show."""
    return x * x if x.any() else x + 1


def number_of(name: str) -> int:
    return sum(name.encode())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", OPERATIONS.values(), ids=lambda row: row.name)
def test_right_sides_are_right(row: Operation, dtype: str) -> None:
    if row.kind == "penalty":
        return  # its backward adds to a gradient
    for number, step in enumerate(alone(row, dtype, seed=3)):
        found = step.judge_instead("manual", step.manual, 1)
        assert found.passed, f"{row.name}, {number}: {found.root}"
        judged = {r.name for r in found.replays["torch"]}
        assert judged == {n for node in step.nodes for n in node.outputs}
