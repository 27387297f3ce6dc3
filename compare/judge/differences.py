"""Compare two traces: every tensor is paired by name, and a tensor that is skipped cannot pass.

One number per tensor, cheap enough for every step. Nothing is let through here but equal entries
and gaps that the caller's bounds allow: whether a larger gap is rounding, a replay decides.
Half-precision tensors must be widened before they are compared here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from torch_parity.compare.bounds.precision import is_real, precision
from torch_parity.compare.judge.matches import greatest

Verdict = Literal[
    "match",
    "rounding",
    "unjudged",
    "differs",
    "options",
    "shape",
    "dtype",
    "not finite",
    "empty",
    "no manual",
    "no torch",
]


@dataclass(frozen=True)
class Difference:
    """One tensor on both sides.

    bound is the relative difference up to which it is a match; 0 where only equal entries are.
    absolute is the greatest |manual - torch|, at index if it is not a match; relative is absolute
    divided by the tensor's largest entry on either side. Both are NaN where they do not exist, for
    example for tensors of different shapes. A difference is unjudged where no bound on its rounding
    is known; "options" says that the sides made it with different options.
    """

    name: str
    verdict: Verdict
    bound: float
    absolute: float = float("nan")
    relative: float = float("nan")
    index: tuple[int, ...] = ()
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is within the bound, or over it only by rounding (which a replay decides)."""
        return self.verdict in ("match", "rounding")

    @property
    def failed(self) -> bool:
        """Whether it is known to be more than rounding."""
        return not self.passed and self.verdict != "unjudged"


def compare(
    manual: Mapping[str, np.ndarray],
    torch: Mapping[str, np.ndarray],
    called: tuple[str, str] = ("manual", "torch"),
    bounds: Mapping[str, float] | None = None,
) -> tuple[Difference, ...]:
    """One Difference per name, in flow order (manual's; names that only torch has come last).

    called has the names of the two sides in the details; bounds the relative difference up to which
    a tensor is a match, for those where it is not 0.

    Raises:
        ValueError: there is nothing to compare.
    """
    names = list(dict.fromkeys([*manual, *torch]))
    if not names:
        raise ValueError("compare: both traces are empty, so there is nothing to compare")
    bounds = bounds or {}
    quick = _matches(manual, torch, bounds)
    return tuple(
        quick.get(name)
        or difference(name, manual.get(name), torch.get(name), called, bounds.get(name, 0.0))
        for name in names
    )


def _matches(
    manual: Mapping[str, np.ndarray], torch: Mapping[str, np.ndarray], bounds: Mapping[str, float]
) -> dict[str, Difference]:
    """The float tensors that match. Most tensors do, so they are compared together."""
    found: dict[str, Difference] = {}
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        pairs = {
            name: (a, b)
            for name, a in manual.items()
            if (b := torch.get(name)) is not None
            and a.dtype == b.dtype == dtype
            and a.shape == b.shape
            and a.size
        }
        for name, (absolute, size) in greatest(pairs).items():
            relative = absolute / size if size else 0.0
            bound = bounds.get(name, 0.0)
            if (
                absolute <= bound * size < np.inf
            ):  # then both sides have the same largest entry, to rounding
                found[name] = Difference(name, "match", bound, absolute, relative)
    return found


def difference(
    name: str,
    manual: np.ndarray | None,
    torch: np.ndarray | None,
    called: tuple[str, str],
    bound: float = 0.0,
) -> Difference:
    """Compare a single tensor, with any verdict."""
    first, second = called
    if manual is None:
        return Difference(name, "no manual", 0.0, detail=f"only {second} has {name}")
    if torch is None:
        return Difference(name, "no torch", 0.0, detail=f"only {first} has {name}")
    if manual.shape != torch.shape:
        detail = f"{first} {manual.shape}, {second} {torch.shape}"
        return Difference(name, "shape", bound, detail=detail)
    if manual.dtype != torch.dtype:
        detail = f"{first} {manual.dtype}, {second} {torch.dtype}"
        return Difference(name, "dtype", bound, detail=detail)
    # a mask of attention is given, never made
    if manual.dtype.kind not in ("fiub" if name.startswith("given ") else "fiu"):
        return Difference(name, "dtype", bound, detail=f"{manual.dtype}, expected numbers")
    if manual.size == 0:
        return Difference(name, "empty", bound, detail=f"shape {manual.shape} has no entries")
    for side, array in ((first, manual), (second, torch)):
        if not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            detail = f"{side} holds {array[index]} at {list(index)}"
            return Difference(name, "not finite", bound, index=index, detail=detail)
    return _by_value(name, manual, torch, bound, called)


def _by_value(
    name: str, manual: np.ndarray, torch: np.ndarray, bound: float, called: tuple[str, str]
) -> Difference:
    gaps = _gaps(manual, torch)
    at = int(gaps.argmax())
    absolute = float(gaps.flat[at])
    size = max(largest(manual), largest(torch))
    relative = absolute / size if size else 0.0
    index = tuple(int(i) for i in np.unravel_index(at, gaps.shape))
    if relative <= bound:
        return Difference(name, "match", bound, absolute, relative, index)
    detail = both_numbers(index, called, float(manual[index]), float(torch[index]))
    return Difference(name, "differs", bound, absolute, relative, index, detail)


def both_numbers(
    index: tuple[int, ...], called: tuple[str, str], manual: float, torch: float
) -> str:
    """What the two sides have at an entry."""
    return f"at {list(index)} {called[0]} {manual:.9g}, {called[1]} {torch:.9g}"


def without_bound(d: Difference, dtype: np.dtype) -> Difference:
    """A difference that no replay has explained: whether it is rounding is not known, but for one
    in more than half of the digits, and for numbers that are not rounded at all."""
    if d.verdict != "differs" or not is_real(dtype) or d.relative > precision(dtype).eps ** 0.5:
        return d
    return replace(d, verdict="unjudged")


def _gaps(manual: np.ndarray, torch: np.ndarray) -> np.ndarray:
    """|manual - torch|. Integers wrap (the least int64 has no absolute value), so theirs are
    taken as float64, and are at least 1 where the two are not equal."""
    if manual.dtype.kind == "f":
        return np.abs(manual - torch)
    gaps = np.abs(manual.astype(np.float64) - torch.astype(np.float64))
    return np.maximum(gaps, manual != torch)


def largest(array: np.ndarray) -> float:
    """The greatest size of any entry."""
    return max(abs(float(array.max())), abs(float(array.min())))
