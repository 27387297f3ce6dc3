"""What each precision can hold: the one place that knows, so that the judge needs no case for any.

NumPy has no bfloat16; ml_dtypes gives it one, which rides along in an array's dtype. Nothing is
computed by hand in half precision: what is, is widened first, which changes no number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
LOWER = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": BFLOAT16,
}
# A tensor core reads 10 of a float32's 23 binary digits: the rest is cut off, or rounded away with
# halves to even, or from 0. It is no type: what it leaves lies in a float32.
TF32 = {"tf32 cut": 0, "tf32 to even": 0x0FFF, "tf32 from 0": 0x1000}
TF32_DROPS = 13


@dataclass(frozen=True)
class Precision:
    """eps is the gap between 1 and the next number, tiny what a rounding may lose next to 0, most
    the largest number; inner is the precision that products and functions are computed in."""

    eps: float
    tiny: float
    most: float
    inner: np.dtype


@cache
def precision(dtype: np.dtype) -> Precision:
    """Of a type of real numbers.

    Below the smallest normal number nobody promises digits (torch's sigmoid gives 0 there), but a
    half is computed in float32, as in torch, NumPy and every matrix unit, and then rounded once:
    float16 keeps its subnormal numbers, and only the last bit of one is lost.
    """
    info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    tiny = info.smallest_subnormal if dtype == np.float16 else info.tiny
    inner = np.dtype(np.float32) if is_half(dtype) else dtype
    return Precision(float(info.eps), float(tiny), float(info.max), inner)


def is_real(dtype: np.dtype) -> bool:
    """Rounded numbers, as opposed to class indices, counters and anything else."""
    return dtype.kind == "f" or dtype == BFLOAT16


def is_half(dtype: np.dtype) -> bool:
    """float16 or bfloat16."""
    return dtype.itemsize == 2 and is_real(dtype)


def widened(array: np.ndarray) -> np.ndarray:
    """The same numbers, halves as float32."""
    return array.astype(np.float32) if is_half(array.dtype) else array


def all_widened(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each of them, by name."""
    return {name: widened(a) for name, a in arrays.items()}


def rounded(array: np.ndarray, to: str) -> np.ndarray:
    """The nearest numbers that `to` (of LOWER or TF32) has, in the array's own type; what is no
    rounded number stays."""
    if not is_real(array.dtype):
        return array
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if to in LOWER:
        with np.errstate(over="ignore"):
            return np.asarray(single.astype(LOWER[to]).astype(array.dtype))
    bits = single.view(np.uint32)
    odd = (bits >> TF32_DROPS) & 1 if to == "tf32 to even" else np.uint32(0)
    kept = (bits + np.uint32(TF32[to]) + odd) >> TF32_DROPS << TF32_DROPS
    return np.asarray(kept.astype(np.uint32).view(np.float32).astype(array.dtype))
