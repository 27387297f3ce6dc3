"""Any two modules, trained side by side: steps from the same state are judged, and the curves run
free.

Training amplifies one rounding error without bound, so two right modules may be far apart after a
thousand steps. The verdict therefore comes from steps of both that start from a's state, and the
curves from each module trained on its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torch_parity.compare.aten.carrying import Carrier, NotCarried
from torch_parity.compare.aten.check import check_steps
from torch_parity.compare.aten.comparison import is_ignored
from torch_parity.compare.aten.ends import phase_of
from torch_parity.compare.aten.given import given_pairs
from torch_parity.compare.aten.model_state import ModelState
from torch_parity.compare.aten.not_finite import first_not_finite
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.recording import with_own_inputs
from torch_parity.compare.aten.settings import (
    other_schedules,
    schedules_differ,
    settings_differ,
)
from torch_parity.compare.aten.step import Step, options_of
from torch_parity.compare.aten.unchanged import generators, set_generators
from torch_parity.compare.bounds.precision import widened
from torch_parity.compare.errors import InputError
from torch_parity.compare.runs.perturbed_copy import drift
from torch_parity.compare.runs.trained_module import TrainedModule, moved, rescheduled
from torch_parity.compare.tensors import to_numpy

RUNS = ("a", "b", "perturbed_copy", "parity")
Numbers = dict[str, float]


@dataclass(frozen=True)
class ModulesStep:
    """One step: the report on it, from the same state, and what the free-running curves gain.

    report is None in a step that was not judged, for the reason in not_judged. curves has the
    numbers of each of RUNS, by tag. lost says of a run that is no longer finite what made it so.
    """

    step: int
    report: ModulesReport | None
    not_judged: str = ""
    curves: Mapping[str, Numbers] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)


class ModulesTraining:
    """Both modules side by side: iterate it, once, for one ModulesStep a batch.

    Every n-th step is judged (every), and the first and the last; none after the first wrong one.
    It stops after a step that is not finite. The modules are left anywhere: call restore.
    """

    def __init__(
        self,
        a: TrainedModule,
        b: TrainedModule,
        batches: Iterable[Any],
        loss: Callable[..., Any],
        every: int = 1,
        names: Mapping[str, str] | None = None,
        ignore: Sequence[str] = (),
        share_draws: bool = True,
    ) -> None:
        self._a, self._b, self._batches, self._loss = a, b, batches, loss
        self._every, self._names, self._ignore = every, names or {}, ignore
        self._share_draws = share_draws
        self._perturbed = a.start
        self._carrier = Carrier(
            (a.model, b.model),
            (a.start, b.start),
            self._names,
            lambda result: is_ignored(result, ignore),
        )
        self._rng = np.random.default_rng([0, 3])
        self._failed = False
        self._stored: dict[str, None] = {}  # what modules keep outside of torch's sight
        self._generators = generators()

    def restore(self) -> None:
        """Both modules, their optimizers and schedulers, and torch's generators, as they were."""
        self._a.restore()
        self._b.restore()
        set_generators(self._generators)

    def __iter__(self) -> Iterator[ModulesStep]:
        for step, (batch, last) in enumerate(_with_last(self._batches), start=1):
            try:
                taken = self._take(step, batch, last)
            except InputError as error:
                raise InputError(f"step {step}: {error}") from error
            yield taken
            if taken.lost:
                return

    def _take(self, step: int, batch: Any, last: bool) -> ModulesStep:
        steps = self._a.step(batch, self._loss), self._b.step(batch, self._loss)
        why_not = self._why_not(step, last)
        report = None
        if not why_not:
            try:
                report = self._judged(step, steps, last)
            except NotCarried as error:
                why_not = str(error)
        curves, lost = self._run_free(steps)
        if report is not None and last and report.outcome != "FAIL" and _updates(report):
            report = self._with_settings(steps, report)
        if report is not None:
            self._failed = report.outcome == "FAIL"
            curves["parity"] |= _of_bound(report)
            at_b = first_not_finite(report.models[1].record)
            lost |= {f"{self._b.called}, from the state of {self._a.called}": at_b} if at_b else {}
        return ModulesStep(step, report, why_not, curves, lost)

    def _why_not(self, step: int, last: bool) -> str:
        if self._failed:
            return "an earlier step is wrong"
        due = last or step == 1 or step % self._every == 0
        return "" if due else f"of every {self._every} steps one is judged"

    def _judged(self, step: int, steps: tuple[Step, Step], last: bool) -> ModulesReport:
        """Both from a's state; the first step from the state that each was given in. A setting that
        one step does not show (a momentum) shows in the next, or is compared in the last."""
        a, b = self._a, self._b
        start = b.state if step == 1 else self._carrier.carried(a.state, b.state)
        a.begin(a.state)
        b.begin(start)
        report = check_steps(
            *steps, self._names, self._ignore, self._share_draws, more_follow=not last
        )
        self._carrier.settle(report)
        if step > 1 and report.outcome == "FAIL" and self._stored:
            raise NotCarried(f"{', '.join(self._stored)}: a state that cannot be carried over")
        return report

    def _with_settings(self, steps: tuple[Step, Step], report: ModulesReport) -> ModulesReport:
        """The report on the last step, and how the settings after the schedulers' steps differ."""
        for side in (self._a, self._b):
            side.state.put_into(side.optimizer)
        options = options_of(steps[0]), options_of(steps[1])
        records = report.models[0].record, report.models[1].record
        pairs = given_pairs(*records, self._names)
        differing = (
            *settings_differ(*options, records[1], pairs, report.called),
            *schedules_differ(self._a.scheduler, self._b.scheduler, report.called),
        )
        notes = other_schedules(self._a.scheduler, self._b.scheduler, report.called)
        return replace(
            report, differing=(*report.differing, *differing), notes=(*report.notes, *notes)
        )

    def _run_free(self, steps: tuple[Step, Step]) -> tuple[dict[str, Numbers], dict[str, str]]:
        """One step of a, of the perturbed copy and of b, each from its own state and with the same
        random numbers."""
        a, b, drawn = self._a, self._b, generators()
        curves: dict[str, Numbers] = {}
        lost: dict[str, str] = {}

        def take(run: str, side: TrainedModule, step: Step, start: ModelState, of: Any) -> Any:
            set_generators(drawn)
            record = side.taken(with_own_inputs(step), start, of)
            curves[run] = _curves(record, side.model)
            called = side.called if run in ("a", "b") else f"the perturbed copy of {side.called}"
            if said := first_not_finite(record):
                lost[called] = said
            return record, side.now()

        of_a, after = take("a", a, steps[0], a.state, None)
        left = generators()
        start = moved(self._perturbed, self._rng)
        _, self._perturbed = take("perturbed_copy", a, steps[0], start, of_a)
        of_b, b.state = take("b", b, steps[1], b.state, of_a if self._share_draws else None)
        set_generators(left)
        self._carrier.saw(of_b)
        sides = ((a.called, of_a), (b.called, of_b))
        self._stored |= dict.fromkeys(f"{n} of {called}" for called, r in sides for n in r.stored)
        a.state = a.schedule(after)
        self._perturbed = rescheduled(self._perturbed, after, a.state)
        b.state = b.schedule(b.state)
        curves["parity"] = {
            "drift/a_to_b": drift_of(*self._carrier.both(a.state, b.state)),
            "drift/perturbed_copy": drift_of(_params(a.state), _params(self._perturbed)),
        }
        return curves, lost


def drift_of(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """drift, and NaN where no parameter is paired."""
    return drift(a, b) if b else float("nan")


def _params(state: ModelState) -> dict[str, np.ndarray]:
    params = [t for key, t in state.tensors.items() if isinstance(key, nn.Parameter)]
    return {str(i): widened(to_numpy(t)) for i, t in enumerate(params) if t.numel()}


def _updates(report: ModulesReport) -> bool:
    """Every update was judged: one that is not, as something unseen decides it (a rate from a
    closure), leaves settings that differ for the same reason."""
    ends = report.alignment.ends
    return all(e.outcome == "right" for e in ends if e.end.phase == "update")


def _curves(record: Record, model: nn.Module) -> Numbers:
    """The loss of the batch, and the norms of every gradient and new parameter."""
    found: Numbers = {}
    for name, ref in record.results.items():
        if name.partition(".")[0] == "loss":
            found[f"{name}/batch"] = float(record.value(ref))
    for name, p in model.named_parameters():
        gradient = record.results.get(f"{name}.grad")
        if gradient is not None and not gradient.unjudged:
            found[f"gradient_norm/{name}"] = _norm(record.value(gradient))
        found[f"weight_norm/{name}"] = _norm(p.detach())
    return found


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor.double()))


def _of_bound(report: ModulesReport) -> Numbers:
    """The greatest share of its bound that a result of each phase used, and a call of each side."""
    found: Numbers = {}
    for verdict in report.alignment.ends:
        if verdict.outcome in ("right", "wrong"):
            tag = f"of_bound/{phase_of(verdict.end.name)}"
            found[tag] = max(found.get(tag, 0.0), verdict.use)
    uses = (model.greatest_use for model in report.models)
    return found | dict(zip(("of_bound/calls_of_a", "of_bound/calls_of_b"), uses, strict=True))


def _with_last(batches: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Each batch, and whether it is the last."""
    count, none = 0, object()
    held: Any = none
    try:
        for batch in batches:
            if held is not none:
                yield held, False
            held, count = batch, count + 1
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"batches raised {type(error).__name__} after batch {count}: {error}"
        ) from error
    if held is none:
        raise InputError("batches is empty, so there is no step to take")
    yield held, True
