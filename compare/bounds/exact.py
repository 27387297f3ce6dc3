"""Where an operation rounds nothing away: what it makes has no bound of its own.

Each function gives the entries where that is so, or None: nowhere.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch_parity.compare.bounds.bounded import Bounded


def short(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """Where operands and result are known exactly and use few of the digits that there are, such
    as 2.5 + 0.5: no order of such terms rounds, so floor(x + 0.5) is decided at x = 2.5."""
    room = 2.0 ** round(-math.log2(b.u) / 3)
    # the result first, which is seldom short, and in float64, which is faster and has room as well
    kept: Any = _is_short(np.asarray(value, np.float64), room)
    for number in (x, y):
        if not kept.any():
            return None
        kept = kept & (number.error == 0) & _is_short(number.value, room)
    return kept


def _is_short(number: np.ndarray, room: float) -> Any:
    """A multiple of 2^-k with room for many like it, where k is a third of the digits."""
    parts = number * room
    whole = np.rint(parts) == parts
    return whole & (np.abs(number) < room) if whole.any() else whole


def _scaled_by_two(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """A power of two moves the exponent alone, unless the result is subnormal."""
    if not any(_are_powers_of_two(factor) for factor in (x, y)):
        return None
    return (value == 0) | (np.abs(value) > b.tiny / b.u)


def product(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """x y: of powers of two, or of short numbers."""
    kept = _scaled_by_two(b, value, x, y)
    return short(b, value, x, y) if kept is None else kept


def quotient(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """x / y: by powers of two."""
    return _scaled_by_two(b, value, y, y)


def _are_powers_of_two(x: "Bounded") -> bool:
    """All of them, or 0, and without an error."""
    if not x.size or math.frexp(x.value.flat[0])[0] not in (0, 0.5, -0.5) or x.error.any():
        return False
    digits = np.abs(np.frexp(x.value)[0])
    return bool(((digits == 0.5) | (digits == 0)).all())
