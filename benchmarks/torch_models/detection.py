"""One number of one call is wrong: is that call found, and no other?

    python -m benchmarks.torch_models.detection

While a right float32 model runs, one entry of one output of a random call is changed by 1e-4 of the
output's largest entry, or of the entry itself. Everything after it is computed from what it became.
"""

import random
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import click
import torch
from torch import Tensor

from benchmarks.modules import step_of
from benchmarks.torch_models.results import keep, one_thread
from benchmarks.zoo import cases
from torch_parity.compare.aten.check import check_step
from torch_parity.compare.aten.recorder import Recorder
from torch_parity.compare.aten.report import ModelReport
from torch_parity.compare.aten.writers import is_view
from torch_parity.compare.torch_private import flattened

CHANGE = 1e-4
SIZES = ("of the largest entry", "of the entry itself")


@dataclass(frozen=True)
class Fault:
    """Entry `entry` (counted in a row) of output `output` of call `call` is moved by `by`."""

    call: int
    output: int
    entry: int
    by: float


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """While open, steps that are recorded make this fault."""

    class Planting(Recorder):
        def _keep(self, func: Any, args: Any, kwargs: Any, out: Any, written: list[Tensor]) -> None:
            if len(self.record.calls) == fault.call:
                returned = [t for t in flattened(out) if isinstance(t, Tensor)]
                unreturned = [t for t in written if not any(t is r for r in returned)]
                tensor = [*returned, *unreturned][fault.output].data
                index = torch.unravel_index(torch.tensor(fault.entry), tensor.shape)
                tensor[index] += fault.by
            super()._keep(func, args, kwargs, out, written)

    with patch("torch_parity.compare.aten.step.Recorder", Planting):
        yield


def drawn(report: ModelReport, draw: random.Random, size: str) -> Fault | None:
    """A fault in a random call of a right model; None if the output drawn is all 0."""
    own = [
        v
        for v in report.verdicts
        if v.outcome != "given"
        and v.call.outputs[v.output].dtype == torch.float32
        and not is_view(v.call)
    ]
    by_call: dict[int, list[Any]] = {}
    for v in own:
        by_call.setdefault(v.call.index, []).append(v)
    chosen = draw.choice(by_call[draw.choice(list(by_call))])
    numbers = report.record.value(chosen.call.outputs[chosen.output]).reshape(-1)
    entries = (numbers.isfinite() & (numbers != 0)).nonzero().flatten().tolist()
    if not entries:
        return None
    if size == SIZES[0]:
        entry = draw.randrange(numbers.numel())
        by = float(numbers[entries].abs().max()) * CHANGE
    else:
        entry = draw.choice(entries)
        by = float(numbers[entry]) * CHANGE
    if not numbers[entry].isfinite() or float(numbers[entry] + by) == float(numbers[entry]):
        return None
    return Fault(chosen.call.index, chosen.output, entry, by)


@dataclass(frozen=True)
class Found:
    """flagged: that call was judged wrong; elsewhere: so was another, as many times."""

    size: str
    where: str
    operation: str
    flagged: bool
    elsewhere: int
    unjudged: bool


def look(name: str, seed: int, size: str, report: ModelReport, draw: random.Random) -> Found | None:
    """Plant a fault in a model that was judged right, and judge it again."""
    fault = drawn(report, draw, size)
    if fault is None:
        return None
    with planted(fault):
        again = judged(name, seed)
    wrong = {v.call.index for v in again.wrong}
    unjudged = {v.call.index for v in again.unjudged}
    call = again.record.calls[fault.call]
    where = f"{name} {seed}: {call.operation} of {call.module!r}, {call.phase}, {fault}"
    flagged = fault.call in wrong
    return Found(
        size,
        where,
        call.operation,
        flagged,
        len(wrong - {fault.call}),
        not flagged and fault.call in unjudged,
    )


def judged(name: str, seed: int) -> ModelReport:
    torch.manual_seed(0)
    return check_step(step_of(cases.case(name, seed), name))


def survey(wanted: int, seed: int) -> list[Found]:
    """As many faults of either size, a few in each of the models from this seed on."""
    found: list[Found] = []
    while len(found) < 2 * wanted:
        for name in cases.NAMES:
            right = judged(name, seed)
            draw = random.Random(f"{name} {seed}")
            for size in SIZES * 2:
                one = look(name, seed, size, right, draw)
                found += [] if one is None else [one]
        seed += 1
    return found


def figures(found: list[Found]) -> dict[str, Any]:
    """For the JSON, by the size of the change."""
    by_size = {}
    for size in SIZES:
        own = [f for f in found if f.size == size]
        missed = [f for f in own if not f.flagged]
        by_size[size] = {
            "planted": len(own),
            "exactly that call": sum(f.flagged and not f.elsewhere for f in own),
            "missed": len(missed),
            "not judged": sum(f.unjudged for f in own),
            "other calls flagged": sum(bool(f.elsewhere) for f in own),
            "missed by operation": dict(Counter(f.operation for f in missed).most_common()),
        }
    return by_size


@click.command()
@click.option("--faults", default=2_000, show_default=True, help="of either size")
@click.option("--seed", default=8_100_000, show_default=True)
def main(faults: int, seed: int) -> None:
    """Plant faults in float32 models, and count those found; keep the figures."""
    warnings.simplefilter("ignore")
    one_thread()
    found = survey(faults, seed)
    for f in found:
        if not f.flagged or f.elsewhere:
            print(f)
    print(result := figures(found))
    keep("one entry", {"change": CHANGE, "seed": seed, "sizes": result})


if __name__ == "__main__":
    main()
