"""What the judge says about one model: fields to assert, and the verdict in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from torch_parity.compare.aten.covered import not_run, unused
from torch_parity.compare.aten.naming import TensorNames, formula, where
from torch_parity.compare.aten.not_finite import first_not_finite
from torch_parity.compare.aten.not_judged import SHOWN, compiled_code, not_judged
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.verdicts import CallVerdict, FunctionVerdict
from torch_parity.compare.judge.outcome import Answer, Required


@dataclass(frozen=True, repr=False)
class ModelReport(Required):
    """One model on one step: was every ATen call of it right, on the inputs that it had?

    verdicts has an entry for each output of each call. functions are the custom autograd Functions
    whose backward is not the derivative of their forward, or that no bound was derived for.
    zeros and ones are the given tensors that are 0 in every entry, and the factors and masks that
    are 1: nothing shows how they are used.
    """

    record: Record
    verdicts: tuple[CallVerdict, ...]
    functions: tuple[FunctionVerdict, ...] = ()
    called: str = "the model"
    zeros: tuple[str, ...] = ()
    ones: tuple[str, ...] = ()

    @cached_property
    def wrong(self) -> tuple[CallVerdict, ...]:
        """In order of computation: the first is where to look."""
        return tuple(v for v in self.verdicts if v.outcome == "wrong")

    @cached_property
    def unjudged(self) -> tuple[CallVerdict, ...]:
        """With the reason."""
        return tuple(v for v in self.verdicts if v.outcome == "unjudged")

    @property
    def unshown(self) -> tuple[str, ...]:
        """The given tensors of which this step shows nothing: zeros and ones."""
        return self.zeros + self.ones

    @property
    def not_run(self) -> tuple[str, ...]:
        """What the step left out (no loss, no optimizer), a sentence each."""
        return tuple(not_run(self.record))

    @property
    def calls(self) -> int:
        """How many ATen calls the step made."""
        return len(self.record.calls)

    @property
    def judged(self) -> int:
        """How many of them were judged whole, or had nothing to judge (random numbers)."""
        return self.calls - len({v.call.index for v in self.unjudged})

    @property
    def greatest_use(self) -> float:
        """The largest share of its bound that a right output used."""
        return max((v.held.use for v in self.verdicts if v.outcome == "right"), default=0.0)

    @property
    def outcome(self) -> Answer:
        """PASS, FAIL, or UNJUDGED where nothing is wrong but not everything was judged."""
        if self.wrong or any(f.outcome == "wrong" for f in self.functions):
            return "FAIL"
        unseen = self.record.compiled or not self.verdicts
        return "UNJUDGED" if self.doubtful or unseen else "PASS"

    @property
    def doubtful(self) -> bool:
        """Something that was recorded could not be judged."""
        return (
            bool(self.unjudged)
            or any(f.outcome == "unjudged" for f in self.functions)
            or self.record.eager_instead
        )

    @property
    def first(self) -> CallVerdict | None:
        """The first wrong output."""
        return next(iter(self.wrong), None)

    @property
    def short(self) -> str:
        """One line."""
        if self.wrong:
            first = self.wrong[0]
            return f"FAIL {first.call.operation} of {where(first.call)} is wrong"
        return next(iter(self._counted()))

    @property
    def verdict(self) -> str:
        """In words, a line each: the answer, what is wrong first, what was not judged."""
        return "\n".join(self._sentences())

    def _counted(self) -> Iterator[str]:
        share = f"{self.judged} of {self.calls} operations (ATen calls) of {self.called} judged"
        wrong = len({v.call.index for v in self.wrong})
        found = f"; {wrong} of them {'is' if wrong == 1 else 'are'} wrong" if wrong else ""
        yield f"{self.outcome} {share}, each on the inputs that it had{found}"

    def _sentences(self) -> Iterator[str]:
        yield from self._counted()
        names = TensorNames(self.record)
        for v in self.wrong[:SHOWN]:
            yield from _wrong_call(v, names)
        if len(self.wrong) > SHOWN:
            yield f"{len(self.wrong) - SHOWN} more outputs are wrong."
        for f in self.functions:
            if f.outcome != "right":
                yield f.sentence
        yield from not_judged(self.unjudged)
        yield from compiled_code(self.record, self.called)
        if self.outcome == "PASS":
            yield (
                f"The largest error is {self.greatest_use:.0%} of what rounding can cause in its "
                "place; above 100% an operation is wrong."
            )
        if self.outcome != "FAIL":
            yield from (*unused(self.zeros, self.ones), *self.not_run)
        if said := first_not_finite(self.record):
            yield f"Not every result is a number: {said}."
        yield from self.record.notes

    def __str__(self) -> str:
        return self.verdict


def _wrong_call(v: CallVerdict, names: TensorNames) -> Iterator[str]:
    call, h = v.call, v.held
    which = f"output {v.output} of " if len(call.outputs) > 1 else ""
    yield f"Wrong: {which}{formula(call, names)}"
    yield f"  {where(call)}"
    came = f"it gave {h.seen:.9g}, expected {h.expected:.9g} within {h.bound:.2g}"
    yield f"  at {list(h.index)} {came}"
