"""Do two traces agree? Every tensor is paired by name, and nothing passes by being skipped.

This is the judge's first stage: one bound for a whole tensor, relative to its largest entry.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal[
    "match", "differs", "kink", "shape", "dtype", "not finite", "empty", "no manual", "no torch"
]

# In float64 two right sides agree to some 1e-15, so a gap over 1e-12 is a difference in meaning.
# float32 gets the same number of units in the last place, and so can only speak about rounding.
# Anything else (a step counter) has to be equal.
BOUND = {
    np.dtype(np.float64): 1e-12,
    np.dtype(np.float32): 1e-12 * float(np.finfo(np.float32).eps / np.finfo(np.float64).eps),
}


@dataclass(frozen=True)
class Difference:
    """One tensor on both sides.

    absolute is the greatest |manual - torch|, found at index; relative is that divided by the
    tensor's largest entry on either side. Both are NaN where the verdict keeps them from existing.
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
        """Whether this tensor leaves the run standing; a kink is undecided, not a failure."""
        return self.verdict in ("match", "kink")


def compare(
    manual: Mapping[str, np.ndarray],
    torch: Mapping[str, np.ndarray],
    undecided: Collection[str] = (),
) -> tuple[Difference, ...]:
    """One Difference per name, in flow order (manual's; names that only torch has come last).

    undecided names the tensors that a kink has left open (see `after_kink`).

    Raises:
        ValueError: there is nothing to compare.
    """
    names = list(dict.fromkeys([*manual, *torch]))
    if not names:
        raise ValueError("compare: both traces are empty, and an empty comparison proves nothing")
    return tuple(_difference(n, manual.get(n), torch.get(n), n in undecided) for n in names)


def _difference(
    name: str, manual: np.ndarray | None, torch: np.ndarray | None, undecided: bool
) -> Difference:
    if manual is None:
        return Difference(name, "no manual", 0.0, detail=f"only torch has {name}")
    if torch is None:
        return Difference(name, "no torch", 0.0, detail=f"only manual has {name}")
    bound = BOUND.get(manual.dtype, 0.0)
    if manual.shape != torch.shape:
        detail = f"manual {manual.shape}, torch {torch.shape}"
        return Difference(name, "shape", bound, detail=detail)
    if manual.dtype != torch.dtype:
        detail = f"manual {manual.dtype}, torch {torch.dtype}"
        return Difference(name, "dtype", bound, detail=detail)
    if manual.size == 0:
        return Difference(name, "empty", bound, detail=f"shape {manual.shape} has no entries")
    for side, array in (("manual", manual), ("torch", torch)):
        if not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            detail = f"{side} holds {array[index]} at {list(index)}"
            return Difference(name, "not finite", bound, index=index, detail=detail)
    return _by_value(name, manual, torch, bound, undecided)


def _by_value(
    name: str, manual: np.ndarray, torch: np.ndarray, bound: float, undecided: bool
) -> Difference:
    gaps = np.abs(manual - torch)
    at = int(gaps.argmax())
    absolute = float(gaps.flat[at])
    size = max(float(np.abs(manual).max()), float(np.abs(torch).max()))
    relative = absolute / size if size else 0.0
    verdict: Verdict = "match" if relative <= bound else "kink" if undecided else "differs"
    index = tuple(int(i) for i in np.unravel_index(at, gaps.shape))
    detail = ""
    if verdict != "match":
        detail = f"at {list(index)} manual {manual[index]:.9g}, torch {torch[index]:.9g}"
    return Difference(name, verdict, bound, absolute, relative, index, detail)


def after_kink(
    manual: Mapping[str, np.ndarray], torch: Mapping[str, np.ndarray], hidden: int
) -> set[str]:
    """Names whose value hangs on which side of 0 a z fell that both sides compute as 0 or so.

    Where z is within its bound of 0, either slope of relu is right, and each side may take its own:
    then dz of that layer, and all that follows from it further down, cannot be held to rounding.
    Only for relu and leaky_relu; hidden is the number of hidden layers.
    """
    for layer in range(hidden, 0, -1):
        a, b = manual.get(f"z{layer}"), torch.get(f"z{layer}")
        if a is None or b is None or a.shape != b.shape:
            continue
        near = np.abs(a - b) <= BOUND.get(a.dtype, 0.0) * max(np.abs(a).max(), np.abs(b).max())
        if np.any(((a > 0) != (b > 0)) & near):
            return _below(layer)
    return set()


def _below(layer: int) -> set[str]:
    names: set[str] = set()
    for k in range(layer, 0, -1):
        names |= {f"dz{k}", f"dh{k - 1}", f"dW{k}_loss"}
        for parameter in (f"W{k}", f"b{k}"):
            names |= {prefix + parameter for prefix in ("d", "v", "s", "")}
        names.add(f"da{k - 1}")
    return names
