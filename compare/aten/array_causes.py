"""What makes arrays that were computed by hand differ from a module's: another layout, or a factor.

Each guess is tried: the arrays are changed back, and have to be right up to their rounding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from torch_parity.compare.aten.align import align
from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.causes.registry import Cause
from torch_parity.compare.aten.end_verdicts import EndVerdict
from torch_parity.compare.aten.ends import End
from torch_parity.compare.tensors import to_numpy

NEAR = 1e-4  # which factor to try; whether it is one, the bounds decide


def in_another_layout(
    alignment: Alignment, names: Mapping[str, str], called: tuple[str, str]
) -> Iterator[str]:
    """Which of the wrong arrays are right when they are turned or reshaped: a layout, not wrong
    numbers."""
    told: set[str] = set()
    for remedy in ("T", "reshape"):
        changed = {
            v.end.name: x
            for v in alignment.ends
            if v.outcome == "wrong" and v.end.name not in told
            if (x := _changed(v.end.wanted[0], v.end.ref.shape, remedy)) is not None
        }
        right = _right_instead(alignment, changed)
        told |= right
        for v in alignment.ends:
            if v.end.name in right:
                yield _remedy(v.end, names, called, remedy)


def _changed(array: np.ndarray, shape: tuple[int, ...], remedy: str) -> np.ndarray | None:
    """The array turned, or reshaped where turning does not give the shape; None if it is no other
    array."""
    turned = array.ndim == 2 and array.T.shape == shape
    if remedy == "T":
        return array.T if turned else None
    return array.reshape(shape) if array.shape != shape and array.size == np.prod(shape) else None


def _remedy(end: End, names: Mapping[str, str], called: tuple[str, str], remedy: str) -> str:
    name = names.get(end.name, end.name)
    shapes = f"it is {end.wanted[0].shape} in {called[0]}, {end.ref.shape} in {called[1]}"
    if remedy == "T":
        return f"The transpose of {name} agrees: {shapes}; hand over {name}.T."
    return f"The numbers of {name} agree: {shapes}; hand over {name}.reshape{end.ref.shape}."


def scaled_gradients(
    alignment: Alignment, names: Mapping[str, str], called: tuple[str, str]
) -> Iterator[Cause]:
    """One factor that makes all wrong gradients right, where nothing but gradients is wrong."""
    wrong = [v for v in alignment.ends if v.outcome == "wrong"]
    if not wrong or any(v.end.phase != "backward" for v in wrong):
        return
    ratio = _ratio(alignment, wrong[0])
    near = (f for f in _factors(alignment) if abs(ratio - f) <= NEAR * abs(f))
    factor = next(near, None)
    if factor is None:
        return
    undone = {v.end.name: v.end.wanted[0] / factor for v in wrong}
    if _right_instead(alignment, undone) != undone.keys():
        return
    mine, theirs = called
    first = names.get(wrong[0].end.name, wrong[0].end.name)
    more = f" and {len(wrong) - 1} more" if wrong[1:] else ""
    if factor == -1:
        yield Cause("wrong_sign", f"{first}{more} of {mine} have the other sign than in {theirs}.")
        return
    samples = _factors(alignment)[factor]
    yield Cause(
        "gradient_scaled",
        f"{first}{more} of {mine}: {factor:.9g} times what {theirs} has{samples}.",
    )


def _ratio(alignment: Alignment, wrong: EndVerdict) -> float:
    """What an array is to the module's at its greatest entry."""
    theirs, mine = to_numpy(alignment.b.value(wrong.end.ref)), wrong.end.wanted[0]
    if mine.shape != theirs.shape or not np.any(theirs):
        return float("nan")
    at = np.unravel_index(np.abs(theirs).argmax(), theirs.shape)
    return float(mine[at]) / float(theirs[at])


def _factors(alignment: Alignment) -> dict[float, str]:
    """The factors that are tried, with what they are."""
    found = {-1.0: "", 2.0: "", 0.5: ""}
    for name, ref in alignment.b.given.items():
        if name.startswith(("input", "target")) and ref.shape and ref.shape[0] > 1:
            m = ref.shape[0]
            samples = f", and {m} is the number of samples"
            found.setdefault(float(m), f"{samples}: 1/m is missing")
            found.setdefault(1 / m, f"{samples}: 1/m is there twice")
    return found


def _right_instead(alignment: Alignment, others: Mapping[str, np.ndarray]) -> set[str]:
    """The arrays that are right with these numbers in their place."""
    if not others:
        return set()
    ends = [v.end for v in alignment.ends]
    changed = [replace(e, wanted=(others.get(e.name, e.wanted[0]),)) for e in ends]
    again = align(alignment.a, alignment.b, changed, {})
    return {v.end.name for v in again.ends if v.outcome == "right" and v.end.name in others}
