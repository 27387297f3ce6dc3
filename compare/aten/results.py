"""The results of b, each held to its bound around the numbers that a has for it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from torch_parity.compare.aten.coarse import made_alike
from torch_parity.compare.aten.common_numbers import CommonNumbers
from torch_parity.compare.aten.end_verdicts import (
    EndVerdict,
    greatest_use,
    half_of_the_digits,
    verdict_within,
    verdict_without_bound,
)
from torch_parity.compare.aten.ends import End
from torch_parity.compare.aten.lowered import half_lost, is_lowered, lowers
from torch_parity.compare.aten.memory import Place
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.replay import proves_nothing
from torch_parity.compare.aten.second_look import second_look
from torch_parity.compare.aten.writers import stretch
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precise import higher
from torch_parity.compare.bounds.tensors import BoundedTensor
from torch_parity.compare.tensors import to_numpy


class Results:
    """The results of b that are still to come, by their place in its memory."""

    def __init__(self, common: CommonNumbers, ends: Iterable[End]) -> None:
        self._common = common
        self._open: dict[Place, list[End]] = defaultdict(list)
        for end in ends:
            self._open[end.ref.place].append(end)
            common.memory.keep(end.ref)

    def judge(self, place: Place) -> bool:
        """Hold the results that are here to a's, and go on with a's numbers. False if there are
        none."""
        if place not in self._open:
            return False
        for end in self._open.pop(place):
            self._judge(end)
        return True

    def judge_rest(self) -> None:
        """Results that no call made: what was given, handed on."""
        for place in list(self._open):
            self.judge(place)

    def _judge(self, end: End) -> None:
        alignment = self._common.alignment
        b, known = alignment.b, alignment.known
        verdict = self._held(end)
        if verdict.outcome == "wrong" and b.undrawn:
            reason = "compiled code draws random numbers of its own"
            verdict = replace(verdict, outcome="unjudged", reason=reason)
        doubtful = verdict.outcome == "right" and verdict.power >= 1
        calls = stretch(b, end.ref, known) if doubtful else []
        if doubtful and proves_nothing(verdict.reach, b, calls) and not self._made_alike(calls):
            reason = "its bound is larger than what it is computed with"
            verdict = replace(verdict, outcome="unjudged", reason=reason)
        alignment.ends.append(verdict)
        if verdict.outcome == "right":
            known.add(end.ref.place)
            if end.a_ref is not None:
                self._common.share(end.ref, end.a_ref)

    def _made_alike(self, calls: list[Call]) -> bool:
        return made_alike(self._common.alignment.b, self._common.alignment.a, calls)

    def _held(self, end: End) -> EndVerdict:
        if end.missing:
            return EndVerdict(end, end.missing)
        if end.unreadable:
            return EndVerdict(end, "unjudged", reason=f"a {end.unreadable} is not read")
        found = self._common.memory.read(end.ref)
        alike = [w for w in end.wanted if w.shape == end.ref.shape]
        if not alike:
            shapes = " or ".join(str(w.shape) for w in end.wanted)
            reason = f"the shapes are {shapes} and {end.ref.shape}"
            return EndVerdict(end, "wrong", np.inf, reason=reason)
        if not found.numel():
            if _is_output(end):
                return EndVerdict(end, "unjudged", reason="it has no entries")
            return EndVerdict(end, "right")
        if not isinstance(found, BoundedTensor):
            same = any(np.array_equal(w.reshape(-1), to_numpy(found).reshape(-1)) for w in alike)
            return EndVerdict(end, "right" if same else "wrong", 0.0 if same else np.inf)
        b = found.bounded
        if end.outside:
            numbers = alike[0].astype(b.value.dtype).reshape(b.shape)
            return verdict_without_bound(end, numbers, b)
        a, of_b = self._common.alignment.a, self._common.alignment.b
        known = end.a_ref is not None and end.a_ref.place not in a.unseen
        if end.ref.place in of_b.unseen and (known or of_b.compiled):
            return self._held_unseen(end, b)
        return self._held_bounded(end, alike, b)

    def _held_unseen(self, end: End, b: Bounded) -> EndVerdict:
        """A result that no recorded call has made."""
        bound = None if end.a_ref is None else self._common.bound_of(end.a_ref, b)
        unseen = self._common.alignment.a.unseen
        if end.a_ref is None or bound is None or end.a_ref.place in unseen:
            if any(np.array_equal(w.reshape(b.shape), b.value) for w in end.wanted):
                return EndVerdict(end, "right")
            reason = "no recorded call made it, and no bound can be derived from the other model"
            return EndVerdict(end, "unjudged", reason=reason)
        # told from b's numbers to what they have to be
        turned = verdict_within(end, greatest_use(b.value, bound), b.value, bound)
        verdict = replace(turned, of_a=turned.of_b, of_b=turned.of_a)
        if verdict.outcome == "right":
            numbers = end.wanted[0].astype(b.value.dtype).reshape(b.shape)
            self._common.take(end.ref, end.a_ref, numbers)
        return verdict

    def _held_bounded(self, end: End, alike: Iterable[np.ndarray], b: Bounded) -> EndVerdict:
        """A result that b's calls have made."""
        use, numbers, vague = self._nearest(end, alike, b)
        verdict = verdict_within(end, use, numbers, b)
        if verdict.outcome == "right" and self._lowered_in_b(end, use, numbers):
            reason = "it is computed in a lower precision"
            verdict = replace(verdict, outcome="wrong", reason=reason)
        elif self._is_doubtful(verdict, use, numbers, b):
            seen = second_look(self._common, end, numbers, b, vague)
            if seen == "unjudged":
                reason = "the rounding of the other model's own calls may be as large"
                return replace(verdict, outcome="unjudged", reason=reason)
            if seen == "right":
                verdict = replace(verdict, outcome="right", use=1.0)
        unknown = end.ref.place in self._common.tainted or end.ref.storage in self._common.replaced
        if unknown and verdict.outcome == "wrong":
            return EndVerdict(end, "unjudged", use, reason="it comes from a call without a bound")
        if verdict.outcome == "wrong" and self._unbounded_in_a(end, use, numbers, b):
            reason = "the other model makes it by a call without a bound"
            return EndVerdict(end, "unjudged", use, reason=reason)
        if end.slot and verdict.outcome == "wrong":
            return EndVerdict(end, "unpaired")  # a keeps something else, which says nothing of b's
        self._common.write_exactly(end.ref, numbers)
        return verdict

    def _nearest(
        self, end: End, alike: Iterable[np.ndarray], b: Bounded
    ) -> tuple[float, np.ndarray, bool]:
        """The greatest gap in units of the bound; the numbers that it may be, with the smallest;
        and whether it could be none with a rounding of a's that is too large to prove anything."""
        common, unseen = self._common, self._common.alignment.a.unseen
        most = half_of_the_digits(b, common.bits)
        found: list[tuple[float, np.ndarray]] = []
        vague = False
        for wanted in alike:
            numbers = wanted.astype(higher(wanted.dtype)).reshape(b.shape)
            use = greatest_use(numbers, b)
            if end.a_ref is not None and end.a_ref.place in unseen:
                use /= 2  # the bound once for the rounding of either side
            if use > 1 and end.a_ref is not None and self._may_be_rounding(end, use, numbers, b):
                own = common.rounding_of(end.a_ref)
                if own is not None:
                    each, more = common.own.computed.get(end.a_ref), np.asarray(own)
                    if each is not None and common.is_laid_out_as(end.a_ref, numbers):
                        more = each.error.reshape(b.shape)
                    vague = vague or (own > most and greatest_use(numbers, b, more) <= 1)
                    use = min(use, greatest_use(numbers, b, np.minimum(more, most)))
            found.append((use, numbers))
        return *min(found, key=lambda f: f[0]), vague

    def _is_doubtful(
        self, verdict: EndVerdict, use: float, numbers: np.ndarray, b: Bounded
    ) -> bool:
        """Whether a wrong result deserves a second look, which takes long: not what comes after a
        result that is wrong for sure, and is a consequence of it or changes no verdict."""
        if verdict.outcome != "wrong" or any(
            e.outcome == "wrong" for e in self._common.alignment.ends
        ):
            return False
        return self._may_be_rounding(verdict.end, use, numbers, b)

    def _may_be_rounding(self, end: End, use: float, numbers: np.ndarray, b: Bounded) -> bool:
        with np.errstate(all="ignore"):
            gap = float(np.abs(numbers - b.value).max(initial=0.0))
        return end.a_ref is not None and self._common.may_be_rounding(end.a_ref, use, gap)

    def _unbounded_in_a(self, end: End, use: float, numbers: np.ndarray, b: Bounded) -> bool:
        """Whether nothing says what a's calls round, and it may be as much."""
        if end.a_ref is None or not self._may_be_rounding(end, use, numbers, b):
            return False
        return self._common.rounding_of(end.a_ref) is None

    def _lowered_in_b(self, end: End, use: float, numbers: np.ndarray) -> bool:
        """Whether b lost digits in a cast that a kept."""
        common = self._common
        if end.ref.place not in common.lowered or end.a_ref is None:
            return False
        if is_lowered(end.a_ref, common.index.made_by.get(end.a_ref)):
            return False
        a, known = common.alignment.a, common.alignment.known_of_a - {end.a_ref.place}
        if any(lowers(a, call, common.bits) for call in stretch(a, end.a_ref, known)):
            return False
        return use > 0 or half_lost(to_numpy(common.alignment.b.value(end.ref)), numbers)


def _is_output(end: End) -> bool:
    return end.name.partition(".")[0] == "output"
