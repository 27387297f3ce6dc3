"""What the judge says about two models: fields to assert, and the verdict in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.covered import kinds, unused
from torch_parity.compare.aten.end_verdicts import EndVerdict
from torch_parity.compare.aten.naming import TensorNames, formula, where
from torch_parity.compare.aten.not_judged import SHOWN, compiled_code, not_judged
from torch_parity.compare.aten.others import Other
from torch_parity.compare.aten.parting import Parting
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.report import ModelReport
from torch_parity.compare.aten.verdicts import FunctionVerdict
from torch_parity.compare.judge.outcome import Answer, Required


@dataclass(frozen=True, repr=False)
class ModulesReport(Required):
    """Two models on the same step: do they compute the same?

    alignment is in the precision named by `precision` (float64 where both could be copied to it),
    models are the reports on the two as they are. lacking are results of a that b has the tensors
    for and does not make (a gradient that does not arrive); unpaired are those that belong to
    nothing of b. causes are the known mistakes that explain where the two part, in the words of
    explanations; none is named where several fit. back is where the two part as seen from b: a's
    first call that b has no counterpart for. others are results that are no tensors.
    """

    alignment: Alignment
    parting: Parting | None
    models: tuple[ModelReport, ...] = ()
    lacking: tuple[str, ...] = ()
    unpaired: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    explanations: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    others: tuple[Other, ...] = ()
    notes: tuple[str, ...] = ()
    called: tuple[str, str] = ("a", "b")
    precision: str = "float64"
    back: Parting | None = None

    @cached_property
    def wrong(self) -> tuple[EndVerdict, ...]:
        """The results of b that are not a's."""
        return tuple(e for e in self.alignment.ends if e.outcome in ("wrong", "absent"))

    @cached_property
    def unjudged(self) -> tuple[EndVerdict, ...]:
        """The results of b that could not be compared."""
        return tuple(e for e in self.alignment.ends if e.outcome in ("unjudged", "unpaired"))

    @cached_property
    def compared(self) -> tuple[str, ...]:
        """Which kinds of results were compared: outputs, loss, gradients, new values."""
        ends = (e.end.name for e in self.alignment.ends)
        return kinds([*ends, *(o.name for o in self.others)])

    @property
    def not_run(self) -> tuple[str, ...]:
        """What b's step left out (no loss, no optimizer), a sentence each."""
        return self.models[-1].not_run if self.models else ()

    @property
    def unshown(self) -> tuple[str, ...]:
        """Given tensors of either of which this step shows nothing (ModelReport.unshown)."""
        return self._zeros + self._ones

    @property
    def _zeros(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for m in self.models[::-1] for name in m.zeros))

    @property
    def _ones(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for m in self.models[::-1] for name in m.ones))

    @property
    def outcome(self) -> Answer:
        """PASS, FAIL, or UNJUDGED where nothing is wrong but not everything was judged."""
        if (
            self.wrong
            or self.differing
            or self.lacking
            or any(o.outcome == "differs" for o in self.others)
            or any(m.outcome == "FAIL" and not self._surrogate(m) for m in self.models)
        ):
            return "FAIL"
        doubtful = self.unjudged or self.unpaired or not (self.alignment.ends or self.others)
        doubtful = doubtful or any(o.outcome == "unjudged" for o in self.others)
        # what compiled code made was held to the other model; one that makes no call is right
        if doubtful or any(m.doubtful or self._surrogate(m) for m in self.models):
            return "UNJUDGED"
        return "PASS"

    def _surrogate(self, model: ModelReport) -> bool:
        """Whether all that is wrong in a model by itself is a custom Function whose backward is not
        the derivative of its forward (a straight-through estimator), and what the two make of it
        was compared: one in the other model is none either, or every gradient is the other's."""
        if model.wrong or not any(map(_wrong, model.functions)):
            return False
        ends = self.alignment.ends
        right = all(e.outcome == "right" for e in ends) and not self.lacking
        gradients = any(e.end.phase == "backward" for e in ends)
        return self._both_surrogate or (right and gradients)

    @property
    def _both_surrogate(self) -> bool:
        return all(any(map(_wrong, m.functions)) for m in self.models)

    @property
    def call(self) -> Call | None:
        """b's first call that a has no counterpart for, where something is wrong."""
        return self.parting.call if self.parting else None

    @property
    def short(self) -> str:
        """One line: the answer; for a failure the first difference, where it begins, the cause."""
        told = list(self._wrong_in_short()) if self.outcome == "FAIL" else []
        return f"{self._counted}: {' '.join(told)}" if told else self._counted

    @property
    def verdict(self) -> str:
        """In words: the answer, where the two part, what each computes there, the cause."""
        return "\n".join(self._sentences())

    @property
    def _counted(self) -> str:
        first, second = self.called
        right = sum(e.outcome == "right" for e in self.alignment.ends)
        right += sum(o.outcome == "same" for o in self.others)
        total = len(self.alignment.ends) + len(self.others)
        return (
            f"{self.outcome} {right} of {total} results of {second} ({', '.join(self.compared)}) "
            f"agree with {first} up to the rounding of {self.precision}"
        )

    def _wrong_in_short(self) -> Iterator[str]:
        yield from self._beside_tensors()
        if self.parting is not None:
            yield self._first_difference(self.parting)
        if self.call is not None:
            side = self.called[1 if self.parting and self.parting.of_b else 0]
            yield f"It begins at {side}'s {self.call.operation} ({where(self.call)})."
        yield from self.explanations
        for model in self.models:
            if model.outcome == "FAIL" and not self._surrogate(model):
                yield f"Of {model.called} alone: {model.short}."

    def _beside_tensors(self) -> Iterator[str]:
        first, second = self.called
        yield from self.differing
        yield from (o.sentence for o in self.others if o.sentence)
        if self.lacking:
            yield f"{second} does not make {_listed(self.lacking)}, which {first} makes."

    def _sentences(self) -> Iterator[str]:
        first, second = self.called
        yield self._counted
        yield from self._beside_tensors()
        if self.parting is not None:
            yield from self._parted(self.parting)
        yield from self.explanations
        for model in self.models:
            if model.outcome == "FAIL" and not self._surrogate(model):
                yield from model.verdict.splitlines()
        for e in self.unjudged[:SHOWN]:
            why = e.reason or f"{first} has no tensor that it belongs to"
            yield f"Not judged: {e.end.name}: {why}."
        if len(self.unjudged) > SHOWN:
            yield f"Not judged: {len(self.unjudged) - SHOWN} more results."
        if self.unpaired:
            which = _listed(self.unpaired)
            yield f"Not judged: {second} has no counterpart for {which} of {first}."
        for model in self.models:
            if self._surrogate(model):
                names = ", ".join(dict.fromkeys(f.name for f in model.functions if _wrong(f)))
                other = "but every gradient is that of the other model"
                if self._both_surrogate:
                    other = "and one in the other model is not either"
                yield (
                    f"Not judged: {names} of {model.called}: its backward is not the derivative of "
                    f"its forward, {other}. Is that meant, as in a straight-through estimator?"
                )
            if model.outcome == "UNJUDGED":
                yield from not_judged(model.unjudged, f" of {model.called}")
                yield from (f.sentence for f in model.functions if f.outcome == "unjudged")
                yield from compiled_code(model.record, model.called, compared=True)
        if self.outcome != "FAIL":
            yield from (*unused(self._zeros, self._ones), *self.not_run)
        yield from self.notes

    def _first_difference(self, parting: Parting) -> str:
        first, second = self.called
        e = parting.end
        if e.outcome == "absent":
            return f"First difference: {e.end.name}: {first} has none."
        if e.index or e.of_a != e.of_b:
            return (
                f"First difference: {e.end.name} at {list(e.index)}: {first} {e.of_a:.9g}, "
                f"{second} {e.of_b:.9g}, allowed {e.bound:.2g}."
            )
        return f"First difference: {e.end.name}: {e.reason}."

    def _parted(self, parting: Parting) -> Iterator[str]:
        first, second = self.called
        yield self._first_difference(parting)
        for side, record, calls in (
            (first, self.alignment.a, parting.of_a),
            (second, self.alignment.b, parting.of_b),
        ):
            names = TensorNames(record)
            if calls:
                yield f"From the last tensors on which the two agree, {side} computes"
                yield from (f"  {formula(c, names)}   {where(c)}" for c in calls[:3])
                if len(calls) > 3:
                    yield f"  and {len(calls) - 3} more calls"

    def __str__(self) -> str:
        return self.verdict


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _wrong(function: FunctionVerdict) -> bool:
    return function.outcome == "wrong"
