"""Four judges on the same right and wrong pairs of models: false alarms and misses of each.

    python -m benchmarks.torch_models.referees

Compared are the outputs, the losses and the gradients of one step; ours is given the optimizer's
update as well. numpy.allclose and torch's
assert_close have their default tolerances; torch's `same` is called as its compile accuracy checker
calls it, with a step of the first model in float64 as the referee. Both models draw the same random
numbers. All judges look at a pair before the next one is drawn.
"""

import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any
from unittest.mock import patch

import click
import numpy as np
import torch
import torch._dynamo.config
from torch import Tensor
from torch._dynamo.utils import same

from benchmarks.modules import step_of
from benchmarks.torch_models.results import keep, one_thread
from benchmarks.zoo import mistakes, pairs
from torch_parity.compare.aten.check import check_steps
from torch_parity.compare.aten.doubled import in_float64
from torch_parity.compare.aten.ends import phase_of
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.recording import recorded
from torch_parity.compare.aten.step import Step
from torch_parity.compare.tensors import to_numpy

DTYPES = (torch.float32, torch.float64)
WRONG = tuple(k for k, entry in mistakes.REGISTER.items() if entry.phase != "update")
NO_CHANGE = 1e-9  # in float64, of the largest number


@dataclass(frozen=True)
class Results:
    """What one step gives: outputs and losses in order, gradients by name."""

    made: list[Tensor]
    gradients: dict[str, Tensor]


@dataclass(frozen=True)
class Both:
    """The results of a, in b's names, of b, and of a in float64. Each may lack a gradient."""

    a: Results
    b: Results
    exact: Results

    def tensors(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """a's, b's and the referee's."""
        yield from zip(self.a.made, self.b.made, self.exact.made, strict=True)
        for name, gradient in self.a.gradients.items():
            yield gradient, self.b.gradients[name], self.exact.gradients[name]

    @property
    def alike(self) -> bool:
        """The same tensors are there, and they have the same shapes."""
        if len(self.a.made) != len(self.b.made) or self.a.gradients.keys() != (
            self.b.gradients.keys()
        ):
            return False
        return all(x.shape == y.shape for x, y, _ in self.tensors())


def results_of(record: Record, port: pairs.Port = dict) -> Results:
    found = {name: record.value(ref) for name, ref in record.results.items()}
    made = [t for name, t in found.items() if phase_of(name) == "forward"]
    parameters = {n.removesuffix(".grad"): t for n, t in found.items() if n.endswith(".grad")}
    parameters = {n: t for n, t in parameters.items() if not n.startswith("input")}
    return Results(made, port(parameters))


def run(a: Step, b: Step, port: pairs.Port) -> tuple[Both, Both]:
    """A step of each without the update, as they are and in float64."""
    a, b = replace(a, optimizer=None), replace(b, optimizer=None)
    own = recorded(a)
    other = recorded(b, own)
    with in_float64(a) as step:
        exact = recorded(step, own)
    with in_float64(b) as step:
        exact_b = recorded(step, exact)
    referee = results_of(exact, port)
    as_they_are = Both(results_of(own, port), results_of(other), referee)
    return as_they_are, Both(referee, results_of(exact_b), referee)


def changed(exact: Both) -> bool:
    """Whether two models differ by more than the rounding of float64."""
    if not exact.alike:
        return True
    largest = max((float(x.abs().max()) for x, _, _ in exact.tensors() if x.numel()), default=0.0)
    gaps = (float((x - y).abs().max()) for x, y, _ in exact.tensors() if x.numel())
    return not max(gaps, default=0.0) <= NO_CHANGE * largest


def by_allclose(both: Both) -> bool:
    arrays = ((to_numpy(x), to_numpy(y)) for x, y, _ in both.tensors())
    return all(np.allclose(y, x) for x, y in arrays)


def by_assert_close(both: Both) -> bool:
    try:
        for x, y, _ in both.tensors():
            torch.testing.assert_close(y, x)
    except AssertionError:
        return False
    return True


def by_same(both: Both) -> bool:
    tolerance = torch._dynamo.config.repro_tolerance
    return all(
        same(x, y, exact, tol=tolerance, equal_nan=True, log_error=lambda *_: None)
        for x, y, exact in both.tensors()
    )


OTHERS: dict[str, Callable[[Both], bool]] = {
    "numpy.allclose": by_allclose,
    "assert_close": by_assert_close,
    "torch's same": by_same,
}
JUDGES = ("ours", *OTHERS)


@dataclass(frozen=True)
class Judged:
    """Which judges say that a pair differs. harmless: it is wrong, and nothing changes."""

    kind: str
    seed: int
    dtype: str
    wrong: bool
    differs: dict[str, bool]
    unjudged: bool = False
    harmless: bool = False
    told: str = ""


def judged(kind: str, seed: int, dtype: torch.dtype, wrong: bool) -> Judged:
    """One pair, by all judges."""
    about = kind, seed, str(dtype).removeprefix("torch."), wrong
    port: pairs.Port
    if wrong:
        planted = mistakes.mistake(kind, seed, dtype)
        sides, port = (planted.right, planted.wrong), planted.port
    else:
        both = pairs.pair(kind, seed, dtype)
        sides, port = (both.a, both.b), both.port
    a, b = step_of(sides[0], "a"), step_of(sides[1], "b")
    torch.manual_seed(0)
    found, exact = run(a, b, port)
    if wrong and not changed(exact):
        return Judged(*about, {}, harmless=True)
    torch.manual_seed(0)
    with patch("torch_parity.compare.aten.check.why", lambda *_: (None, ())):
        report = check_steps(a, b, {})  # what the mistake is called does not matter here
    alike = found.alike
    others = {name: not (alike and judge(found)) for name, judge in OTHERS.items()}
    ours = report.outcome == "FAIL"
    told = "" if ours == wrong and report.outcome != "UNJUDGED" else report.verdict[:600]
    differs = {"ours": ours} | others
    return Judged(*about, differs, report.outcome == "UNJUDGED", False, told)


def jobs(right: int, wrong: int, seed: int) -> list[tuple[str, int, torch.dtype, bool]]:
    """Each kind equally often, a seed for each; shuffled, so that any part of it is a fair one."""
    draw = random.Random(seed)
    made: list[tuple[str, int, torch.dtype, bool]] = []
    for dtype in DTYPES:
        for kinds, wanted, is_wrong in ((pairs.KINDS, right, False), (WRONG, wrong, True)):
            order = draw.sample(kinds, len(kinds))
            made += [(order[i % len(order)], seed + i, dtype, is_wrong) for i in range(wanted)]
    draw.shuffle(made)
    return made


def figures(found: list[Judged]) -> dict[str, Any]:
    """[how many, of how many] by judge, for the JSON."""
    rows = {}
    for dtype in (str(d).removeprefix("torch.") for d in DTYPES):
        for wrong in (False, True):
            own = [j for j in found if (j.dtype, j.wrong, j.harmless) == (dtype, wrong, False)]
            row = f"{'misses' if wrong else 'false alarms'}, {dtype}"
            rows[row] = {n: [sum(j.differs[n] != wrong for j in own), len(own)] for n in JUDGES}
            rows[row]["unjudged by ours"] = sum(j.unjudged for j in own)
    return {
        "rows": rows,
        "kinds": {"right": len(pairs.KINDS), "wrong": len({j.kind for j in found if j.wrong})},
        "harmless": dict(Counter(j.kind for j in found if j.harmless)),
        "told": [asdict(j) for j in found if j.told],
    }


@click.command()
@click.option("--right", default=200, show_default=True, help="right pairs of each precision")
@click.option("--wrong", default=130, show_default=True, help="wrong pairs of each precision")
@click.option("--seed", default=8_500_000, show_default=True)
def main(right: int, wrong: int, seed: int) -> None:
    """Judge right and wrong pairs by four judges; keep the table."""
    warnings.simplefilter("ignore")
    one_thread()
    found = []
    todo = jobs(right, wrong, seed)
    for i, job in enumerate(todo, 1):
        try:
            one = judged(*job)
        except ValueError as error:  # no drawing fits
            print(job, error)
            continue
        found.append(one)
        if one.told or one.harmless:
            print(one, flush=True)
        if i % 50 == 0 or i == len(todo):
            print(f"{i} of {len(todo)}", flush=True)
            keep("referees", figures(found) | {"seed": seed})
    print(figures(found)["rows"])


if __name__ == "__main__":
    main()
