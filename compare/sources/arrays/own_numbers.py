"""A judgement in the numbers of whoever handed the arrays over: their indices, their 1/m.

The judge works in one layout. What it says of a single entry has to be found in the arrays that
were handed over, where samples may be columns, and dz m times ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from torch_parity.compare.flow.trace import Tensors
from torch_parity.compare.judge.differences import Difference, both_numbers
from torch_parity.compare.judge.judge import Fault, Judgement
from torch_parity.compare.judge.replayed import not_finite
from torch_parity.compare.sources.arrays.layout import SCALED, Layout
from torch_parity.compare.sources.arrays.steps import in_step


@dataclass(frozen=True)
class OwnNumbers:
    """The arrays of each step as they were handed over, under our names, and their layout; m is the
    number of samples, compared what was compared, mine and torch's in our layout."""

    steps: Sequence[Mapping[str, np.ndarray]]
    layout: Layout
    m: int
    compared: tuple[Tensors, Tensors]
    called: tuple[str, str]

    def of(self, j: Judgement) -> Judgement:
        """The judgement, with the indices and numbers of these arrays in all that it says of single
        entries."""
        differences = tuple(self._difference(d) for d in j.differences)
        root = self._fault(j.root) if j.root else None
        return replace(j, differences=differences, root=root)

    @cached_property
    def _arrays(self) -> dict[str, tuple[str, np.ndarray]]:
        """Each array and its name within a step, by its name among all steps."""
        return {
            in_step(n, k): (n, a) for k, mine in enumerate(self.steps, 1) for n, a in mine.items()
        }

    def _factor(self, name: str) -> float:
        scaled = self.layout.mean == "dW" and SCALED.fullmatch(name.partition("@")[0])
        return float(self.m) if scaled else 1.0

    def _index(self, name: str, index: tuple[int, ...]) -> tuple[int, ...]:
        if name not in self._arrays or not index:
            return index
        plain, theirs = self._arrays[name]
        places = np.arange(theirs.size, dtype=np.int64).reshape(theirs.shape)
        ours = self.layout.to_ours(plain, places, 1)
        if len(index) != ours.ndim or any(i >= n for i, n in zip(index, ours.shape, strict=True)):
            return index
        return tuple(int(i) for i in np.unravel_index(int(ours[index]), theirs.shape))

    def _difference(self, d: Difference) -> Difference:
        index, factor = self._index(d.name, d.index), self._factor(d.name)
        absolute = d.absolute * factor
        pair = [made.get(d.name) for made in self.compared]
        if d.verdict == "shape":
            _, (own, other) = self._shapes(d.name)
            return replace(d, detail=f"{self.called[0]} {own}, {self.called[1]} {other}")
        if d.verdict not in ("differs", "unjudged") or any(a is None for a in pair):
            detail = d.detail.replace(f"at {list(d.index)}", f"at {list(index)}")
            return replace(d, index=index, absolute=absolute, detail=detail)
        ours = [float(a[d.index]) for a in pair if a is not None]
        theirs = self._own(d.name, index, ours[0] * factor), ours[1] * factor
        said = both_numbers(d.index, self.called, *ours)
        detail = d.detail.replace(said, both_numbers(index, self.called, *theirs))
        return replace(d, index=index, absolute=absolute, detail=detail)

    def _shapes(self, name: str) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Those of the array and of torch's, in our layout and in theirs."""
        plain, theirs = self._arrays[name]
        mine, torch = (made[name] for made in self.compared)
        expected = self.layout.to_theirs(plain, torch)
        return [mine.shape, torch.shape], [theirs.shape, expected.shape]

    def _own(self, name: str, index: tuple[int, ...], otherwise: float) -> float:
        """The very number that was handed over; scaling ours may have rounded it."""
        _, theirs = self._arrays.get(name, ("", np.zeros(())))
        return float(theirs[index]) if index and len(index) == theirs.ndim else otherwise

    def _fault(self, fault: Fault) -> Fault:
        r = fault.found
        index, factor = self._index(r.name, r.index), self._factor(r.name)
        came = r.came * factor
        came = self._own(r.name, index, came) if fault.side == "manual" else came
        expected = r.expected * factor
        detail = not_finite(index, came, expected) if r.outcome == "not finite" else r.detail
        if r.outcome == "shape" and all(r.name in made for made in self.compared):
            before, after = ("{}, expected {}".format(*shapes) for shapes in self._shapes(r.name))
            detail = after if detail == before else detail
        return replace(
            fault,
            found=replace(r, index=index, came=came, expected=expected, detail=detail),
            witness=None if fault.witness is None else fault.witness * factor,
            other=None if fault.other is None else fault.other * factor,
            reach={n: size * self._factor(n) for n, size in fault.reach.items()},
        )
