"""No fixed tolerance decides: what no replay explains is equal, or wrong, or unjudged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.command import Ended
from tests.drawn import case_and_data, steps
from tests.trace_samples import trace
from torch_parity.compare.bounds.precision import is_real
from torch_parity.compare.commands.diff import diff
from torch_parity.compare.errors import ParityError
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import judge, judge_traces
from torch_parity.compare.judge.report import Report
from torch_parity.compare.sources.files.trace_file import save
from torch_parity.compare.sources.recorded import Recorded

Parity = Callable[..., Ended]


def arrays(of: Trace) -> dict[str, np.ndarray]:
    return {name: np.array(a) for name, a in of.made.items()}


@pytest.mark.parametrize(
    ("factor", "outcome", "status"),
    [(1.0, "PASS", 0), (1 + 1e-15, "UNJUDGED", 3), (1 + 1e-9, "UNJUDGED", 3), (1.1, "FAIL", 1)],
)
def test_files_without_nodes(
    parity: Parity, tmp_path: Path, factor: float, outcome: str, status: int
) -> None:
    """Equal numbers agree. A small difference may be rounding, or not: nobody knows."""
    for name, by in (("a", 1.0), ("b", factor)):
        made = arrays(trace())
        made["z1"] = made["z1"] * by
        save(tmp_path / name, Trace(trace().given, made), {})
    report = diff(tmp_path / "a", tmp_path / "b")
    assert report.outcome == outcome
    assert report.passed == (outcome == "PASS")
    assert {d.name for d in report.judgement.unjudged} == ({"z1"} if status == 3 else set())
    ended = parity("diff", "a", "b")
    assert ended.status == status
    assert outcome in ended.out


def test_require_lets_the_unjudged_through_unless_it_is_strict() -> None:
    made = arrays(trace())
    other = {**made, "z1": made["z1"] * (1 + 1e-13)}
    report = Report(judge_traces(Trace({}, made), Trace({}, other)))
    assert report.outcome == "UNJUDGED"
    assert report.require() is report
    with pytest.raises(ParityError):
        report.require(strict=True)


@pytest.mark.parametrize("name", ["W1", "b2", "x", "sW1"])
def test_given_tensors_are_equal_or_they_are_not(name: str) -> None:
    given = {n: np.array(a) for n, a in trace().given.items()}
    given[name].flat[0] = np.nextafter(given[name].flat[0], np.inf)
    report = Report(judge_traces(trace("torch"), replace(trace(), given=given)))
    assert report.outcome == "FAIL"
    (d,) = (d for d in report.judgement.differences if d.name == f"given {name}")
    assert d.verdict == "differs"


@pytest.mark.parametrize("zero", [False, True])
def test_options_are_compared_as_what_they_are(zero: bool) -> None:
    """lr 0.1001 is not 0.1, even in a step without a gradient that would show it."""
    one = trace()
    made = arrays(one)
    if zero:
        made = {n: a * 0 if n[0] in "dvs" else a for n, a in made.items()}
    nodes = tuple(
        replace(n, options={**n.options, "lr": n.options["lr"] * 1.001}) if "lr" in n.options else n
        for n in one.nodes
    )
    judgement = judge_traces(Trace(one.given, made, one.nodes), Trace(one.given, made, nodes))
    assert judgement.outcome == "FAIL"
    apart = {d.name for d in judgement.differences if d.verdict == "options"}
    assert {"W1", "b1", "W2", "b2"} <= apart


def test_a_different_operation_is_named_and_nothing_is_called_rounding_after_it() -> None:
    one = trace()
    at = next(n for n in one.nodes if n.operation in ("relu", "tanh", "sigmoid"))
    nodes = tuple(replace(n, operation="identity", options={}) if n is at else n for n in one.nodes)
    made = arrays(one)
    other = {**made, at.outputs[0]: made[at.inputs[0]]}
    judgement = judge_traces(one, Trace(one.given, other, nodes))
    assert judgement.outcome == "FAIL"
    rounding = [d.name for d in judgement.differences if d.verdict == "rounding"]
    order = [d.name for d in judgement.differences]
    assert all(order.index(n) < order.index(at.outputs[0]) for n in rounding)


def drawn(seed: int) -> Recorded:
    dtype = ("float32", "float64")[seed % 2]
    for attempt in range(20):
        case, data = case_and_data(seed + 10_000 * attempt, width=64, batch=48, dtype=dtype)
        try:
            return steps(case, data, 2)[-1]
        except ArithmeticError:
            continue
    raise AssertionError(f"no finite draw for seed {seed}")


SEEDS = range(7_100_000, 7_100_040)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.every(2)
def test_an_error_of_1e_4_is_seen_in_every_step_and_a_right_step_is_not_replayed(seed: int) -> None:
    """Also in float32, and in steps that are not logged; of any tensor's largest entry."""
    r = drawn(seed)
    right = judge(r.nodes, r.start, r.manual, r.torch)
    assert right.outcome == "PASS", f"seed {seed}: {right.differences}"
    assert not right.replays, f"seed {seed}: the whole step was replayed"
    rng = np.random.default_rng(seed)
    names = [n for n, a in r.torch.items() if is_real(a.dtype) and a.any()]
    for name in rng.choice(names, 3, replace=False):
        changed = np.array(r.torch[name])
        at = rng.integers(changed.size)
        changed.flat[at] += changed.dtype.type(1e-4 * np.abs(changed).max())
        found = judge(r.nodes, r.start, r.manual, {**r.torch, str(name): changed})
        assert found.outcome == "FAIL", f"seed {seed}: 1e-4 in {name} was not seen"
        assert found.wrong["torch"][0] == name, f"seed {seed}"
        assert found.wrong["manual"] == (), f"seed {seed}"
