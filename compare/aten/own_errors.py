"""How far two models of a lower precision are from what they compute in float64.

In float64 a port that computes in x.dtype what the other computes in float32 looks the same. In
float16 or bfloat16 its angles of distant positions, or a sum of squares that overflows, are nothing
like it. So are, in float32, exp without the largest score subtracted, or a variance as a difference
of two squares that are nearly the same.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from torch_parity.compare.aten.ends import phase_of
from torch_parity.compare.aten.others import Other
from torch_parity.compare.aten.record import Record
from torch_parity.compare.tensors import to_numpy

# Of the other model's error, or of the precision: two right models round about as much. In float32
# half of the digits are lost then.
MOST = {"forward": 16, "backward": 64, "update": 64}
LEAST = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float32: 2.0**-16}


def far_from_float64(
    own: Sequence[Record], pair: Sequence[Record], called: tuple[str, str]
) -> Iterator[Other]:
    """Results that one of two right models has in its own precision with an error many times the
    other's, or as nan. own are the records in the models' precision, pair those in float64."""
    errors = [_errors(*records) for records in zip(own, pair, strict=True)]
    for i, (far, near) in enumerate((called, called[::-1])):
        here, there = errors[i], errors[1 - i]
        for name, error in here.items():
            phase, dtype = phase_of(name), own[i].results[name].dtype
            alike = [e for n, e in there.items() if phase_of(n) == phase]
            other = there.get(name, max(alike, default=None))
            if other is None or not error > MOST[phase] * max(other, LEAST[dtype]):
                continue
            if phase == "update" and np.isfinite(error):  # Adam makes whole steps of rounding
                continue
            kind = str(dtype).removeprefix("torch.")
            why = f"compute in {kind} what {near} computes in float32"
            if dtype == torch.float32:
                why = "overflow, or subtract large numbers that are nearly the same"
            said = (
                f"Not judged: {name}: in {kind}, compared with its own result in float64, {far} "
                f"{_told(error)} and {near} {_told(other)}. Does {far} {why}?"
            )
            yield Other(name, "unjudged", said)


def _told(error: float) -> str:
    if np.isinf(error):
        return "is nan or infinite"
    return f"is off by {error:.2g} of the largest entry"


def _errors(own: Record, double: Record) -> dict[str, float]:
    """Of each result, relative to its largest entry. A gradient is compared with the largest entry
    of all of them, since one that is 0 in theory is off by as much as the others round."""
    found, sizes = {}, {}
    for name, ref in own.results.items():
        other = double.results.get(name)
        if other is None or ref.dtype not in LEAST or ref.unjudged or other.unjudged:
            continue
        x, y = to_numpy(own.value(ref)).astype(np.float64), to_numpy(double.value(other))
        size = np.abs(y).max(initial=0.0)
        if ref.shape == other.shape and np.isfinite(size):
            difference = float(np.abs(x - y).max(initial=0.0))
            found[name] = difference if difference == difference else float("inf")
            sizes[name] = float(size)
    for phase in ("backward", "update"):
        alike = [name for name in found if phase_of(name) == phase]
        sizes |= dict.fromkeys(alike, max((sizes[name] for name in alike), default=0.0))
    return {name: error / sizes[name] for name, error in found.items() if sizes[name]}
