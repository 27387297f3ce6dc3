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
MOST = 16
LEAST = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7, torch.float32: 2.0**-16}


def far_from_float64(
    own: Sequence[Record], pair: Sequence[Record], called: tuple[str, str]
) -> Iterator[Other]:
    """Outputs and losses that one of two right models has in its own precision with an error many
    times the other's. own are the records in the models' precision, pair those in float64."""
    a, b = own
    for name, ref in b.results.items():
        of_a = a.results.get(name)
        if phase_of(name) != "forward" or of_a is None or ref.dtype not in LEAST:
            continue
        errors = [_error(one, other, name) for one, other in zip(own, pair, strict=True)]
        if any(e is None for e in errors):
            continue
        least, most = sorted(e for e in errors if e is not None)
        if most > MOST * max(least, LEAST[ref.dtype]):
            far, near = called if errors[0] == most else called[::-1]
            kind = str(ref.dtype).removeprefix("torch.")
            why = f"compute in {kind} what {near} computes in float32"
            if ref.dtype == torch.float32:
                why = "overflow, or subtract large numbers that are nearly the same"
            said = (
                f"Not judged: {name}: in {kind}, compared with its own result in float64, {far} "
                f"{_told(most)} and {near} {_told(least)}. Does {far} {why}?"
            )
            yield Other(name, "unjudged", said)


def _told(error: float) -> str:
    if np.isinf(error):
        return "is nan or infinite"
    return f"is off by {error:.2g} of the largest entry"


def _error(own: Record, double: Record, name: str) -> float | None:
    """Of a result, relative to its largest entry; None where it cannot be had."""
    other = double.results.get(name)
    ref = own.results[name]
    if other is None or ref.unjudged or other.unjudged or ref.shape != other.shape:
        return None
    x, y = to_numpy(own.value(ref)).astype(np.float64), to_numpy(double.value(other))
    size = np.abs(y).max(initial=0.0)
    if not np.isfinite(size) or not size:
        return None
    error = float(np.abs(x - y).max(initial=0.0) / size)
    return error if error == error else float("inf")
