"""Right models: is any call judged wrong, how much of its bound does one use, what is not judged?

    python -m benchmarks.torch_models.alarms

Each architecture of the zoo in turn, with sizes, weights and data from a seed of its own, until
there are enough outputs of each precision. An output is a tensor that a call makes.

A call is held to several bounds, sharpest first, and is wrong if it is beyond the last of them (see
compare/aten/replay.py). How near an output comes to an alarm is the share that it uses of the last.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import click
import torch

from benchmarks.modules import step_of
from benchmarks.torch_models.results import keep, one_thread
from benchmarks.zoo import cases
from torch_parity.compare.aten.check import check_step
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.replay import expected_of, tiers
from torch_parity.compare.aten.report import ModelReport
from torch_parity.compare.aten.verdicts import CallVerdict, held
from torch_parity.compare.aten.writers import is_view

WANTED = {
    torch.float32: 1_000_000,
    torch.float64: 100_000,
    torch.bfloat16: 100_000,
    torch.float16: 100_000,
}
SHOWN = 5
ROUNDED = 0.5  # what a single rounding to the nearest number uses


@dataclass
class Survey:
    """Outputs of one precision, of right models."""

    dtype: torch.dtype
    models: int = 0
    outputs: int = 0
    computed: int = 0  # of them, those that are no view of a tensor that was given
    alarms: list[str] = field(default_factory=list)
    first_use: float = 0.0  # of the sharpest bound that held
    unbounded: Counter[str] = field(default_factory=Counter)
    uses: dict[str, tuple[float, str]] = field(default_factory=dict)  # by operation
    judged: dict[str, dict[str, bool]] = field(default_factory=dict)  # by architecture and call

    def add(self, name: str, seed: int, report: ModelReport) -> None:
        """What became of the calls of one model."""
        self.models += 1
        distinct = self.judged.setdefault(name, {})
        for v in report.verdicts:
            known = distinct.get(v.call.name, True)
            distinct[v.call.name] = known and v.outcome != "unjudged"
            if v.outcome == "given" or v.call.outputs[v.output].dtype != self.dtype:
                continue
            self.outputs += 1
            self.computed += not is_view(v.call)
            where = f"{name} {seed}: {v.call.operation} of {v.call.module!r}, output {v.output}"
            if v.outcome == "unjudged":
                self.unbounded[v.reason] += 1
                continue
            self.first_use = max(self.first_use, v.held.use)
            use = v.held.use if v.held.use <= ROUNDED else last_use(report.record, v)
            if use > self.uses.get(v.call.operation, (0.0, ""))[0]:
                self.uses[v.call.operation] = use, where
        self.alarms += [
            f"{name} {seed}: {v.call.operation} of {v.call.module!r} uses {v.held.use:.3g}"
            for v in report.wrong
        ]
        self.alarms += [
            f"{name} {seed}: {f.sentence}" for f in report.functions if f.outcome == "wrong"
        ]

    def not_judged(self) -> Iterator[tuple[str, str]]:
        """Architectures and distinct calls of theirs that were not judged at least once."""
        for name, calls in self.judged.items():
            yield from ((name, call) for call, whole in calls.items() if not whole)

    def figures(self) -> dict[str, Any]:
        """For the JSON."""
        uses = sorted(self.uses.items(), key=lambda u: -u[1][0])
        return {
            "models": self.models,
            "architectures": len(self.judged),
            "outputs": self.outputs,
            "computed": self.computed,
            "alarms": self.alarms,
            "unbounded": dict(self.unbounded),
            "greatest use of the sharpest bound that held": self.first_use,
            "greatest use": max((use for use, _ in self.uses.values()), default=0.0),
            "greatest uses": {name: [round(u, 4), at] for name, (u, at) in uses[:SHOWN]},
            "distinct calls": sum(map(len, self.judged.values())),
            "not judged": sorted(map(list, self.not_judged())),
        }


def last_use(record: Record, verdict: CallVerdict) -> float:
    """The share that an output uses of the last bound that its call would be held to."""
    call = verdict.call
    expected = expected_of(call, record.value, tiers(record, call)[-1])[verdict.output]
    return held(record.value(call.outputs[verdict.output]), expected).use


def survey(dtype: torch.dtype, wanted: int, seed: int) -> Survey:
    """Models from this seed on, until there are enough outputs, each architecture equally often."""
    found = Survey(dtype)
    for number in count(seed):
        for name in cases.NAMES:
            found.add(name, number, check_step(step_of(cases.case(name, number, dtype), name)))
        if found.outputs >= wanted:
            return found
    raise AssertionError


@click.command()
@click.option("--seed", default=8_000_000, show_default=True)
@click.option("--share", default=1.0, help="of the outputs wanted")
def main(seed: int, share: float) -> None:
    """Judge right models in every precision; keep the figures."""
    warnings.simplefilter("ignore")
    one_thread()
    for dtype, wanted in WANTED.items():
        figures = survey(dtype, int(wanted * share), seed).figures()
        print(dtype, figures, flush=True)
        keep(f"right models, {str(dtype).removeprefix('torch.')}", figures | {"seed": seed})


if __name__ == "__main__":
    main()
