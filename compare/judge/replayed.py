"""One recorded tensor, compared with what its operation computes from the same inputs."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precision import is_real, precision

Outcome = Literal["right", "wrong", "missing", "shape", "dtype", "not finite", "not judged"]


@dataclass(frozen=True)
class Replayed:
    """One recorded tensor against its replay.

    use is the greatest |recorded - replayed| / bound over all entries, found at index, where the
    two stood as came and expected. power is the smallest fault that any entry would have shown,
    relative to the tensor's largest entry (the greatest bound that an entry has); infinite where
    every entry is 0, for there no wrong factor shows. digits says how far a tensor is beyond its
    bounds, all entries together: one that is off by 100 bounds, which chance brings within them
    about once in 100 times, counts 2.
    """

    name: str
    operation: str
    outcome: Outcome
    use: float = float("nan")
    power: float = float("nan")
    index: tuple[int, ...] = ()
    expected: float = float("nan")
    came: float = float("nan")
    detail: str = ""
    digits: float = float("inf")

    @property
    def right(self) -> bool:
        """Within its bound."""
        return self.outcome == "right"

    @property
    def wrong(self) -> bool:
        """Not what its inputs give; false as well where that could not be judged."""
        return self.outcome not in ("right", "not judged")


def numeric(array: np.ndarray) -> bool:
    """Real numbers of any precision; no booleans, objects or text."""
    return array.dtype.kind in "iu" or is_real(array.dtype)


def within_bound(
    name: str,
    operation: str,
    recorded: np.ndarray | None,
    expected: Any,
    types: Collection[np.dtype],
) -> Replayed:
    """types are those of the inputs: where they differ, the result may be of either."""
    if recorded is None:
        return Replayed(name, operation, "missing", detail=f"{name} is not recorded")
    if not numeric(recorded):
        return Replayed(name, operation, "dtype", detail=f"{recorded.dtype}, expected numbers")
    if recorded.size == 0:
        return Replayed(name, operation, "shape", detail=f"{recorded.shape} has no entries")
    if recorded.shape != expected.shape:
        detail = f"{recorded.shape}, expected {expected.shape}"
        return Replayed(name, operation, "shape", detail=detail)
    if not isinstance(expected, Bounded):
        expected = Bounded.exact(np.asarray(expected, np.float64))
    elif recorded.dtype not in types:
        detail = f"{recorded.dtype}, expected {expected.judged}"
        return Replayed(name, operation, "dtype", detail=detail)
    gap = np.abs(recorded - expected.value).astype(np.float64)
    gap = np.where(np.isfinite(recorded), gap, np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        uses = np.where(gap == 0, 0.0, gap / expected.error)
        unbounded = (~np.isfinite(expected.error) & (gap > 0)) | np.isnan(uses)
    at = int(uses.argmax())
    index = tuple(int(i) for i in np.unravel_index(at, uses.shape))
    largest = float(np.abs(expected.value).max(initial=0))
    came = float(recorded[index])
    if not np.isfinite(came):
        return _not_finite(name, operation, index, recorded, expected)
    if unbounded.any():
        detail = "rounding alone could make it anything, so nothing about it can be judged"
        return Replayed(name, operation, "not judged", index=index, came=came, detail=detail)
    wrong = bool(uses.flat[at] > 1)
    return Replayed(
        name,
        operation,
        "wrong" if wrong else "right",
        use=float(uses.flat[at]),
        power=float(expected.error.max()) / largest if largest else float("inf"),
        index=index,
        expected=float(expected.value[index]),
        came=came,
        digits=float(np.log10(uses[uses > 1]).sum()) if wrong else 0.0,
    )


def _not_finite(
    name: str, operation: str, index: tuple[int, ...], recorded: np.ndarray, expected: Bounded
) -> Replayed:
    """The numbers have outgrown their type, unless what the inputs give would have fitted."""
    came, value = float(recorded[index]), float(expected.value[index])
    fits = abs(value) + float(expected.error[index]) <= precision(recorded.dtype).most
    value = value if fits else float("nan")
    return Replayed(
        name,
        operation,
        "not finite",
        index=index,
        expected=value,
        came=came,
        detail=not_finite(index, came, value),
    )


def not_finite(index: tuple[int, ...], came: float, expected: float) -> str:
    """What came, where, and what the inputs give, if that is a number that fits."""
    at = f"{came} at {list(index)}" if index else f"{came}"
    return f"{at}, but its own inputs give {expected:.9g}" if np.isfinite(expected) else at
