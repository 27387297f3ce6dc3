"""The greatest gap and the largest entry of many tensors at once.

One by one, forty small tensors cost a third of the step that made them, in calls; and a large one
costs a pass over memory for each number asked of it. So the entries of all go through a piece of
memory that stays in the cache: small tensors share a piece, large ones take several.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

PIECE = 16384  # entries: 128 KiB of float64, three of which stay in a level-2 cache

EXTREMES = (np.maximum, np.minimum)

Pair = tuple[np.ndarray, np.ndarray]


@dataclass
class _Piece:
    """Parts of tensors that are looked at together: names[i]'s begin at entry starts[i]."""

    names: list[str] = field(default_factory=list)
    parts: list[Pair] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    size: int = 0

    def add(self, name: str, part: Pair) -> None:
        """At the end."""
        self.names.append(name)
        self.parts.append(part)
        self.starts.append(self.size)
        self.size += part[0].size


def greatest(pairs: Mapping[str, Pair]) -> dict[str, tuple[float, float]]:
    """name -> (greatest |a - b|, greatest |entry| of either); NaN where either holds one, and
    infinity or NaN where either holds infinity. The arrays are of one dtype, each pair alike in
    shape, and none is empty."""
    found: dict[str, tuple[float, float]] = {}
    if not pairs:
        return found
    gaps = np.empty(PIECE, next(iter(pairs.values()))[0].dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        for piece in _pieces(pairs):
            a, b = (
                np.concatenate(side) if len(side) > 1 else side[0]
                for side in zip(*piece.parts, strict=True)
            )
            gap = np.subtract(a, b, out=gaps[: piece.size])
            np.abs(gap, out=gap)
            gap = np.maximum.reduceat(gap, piece.starts)
            ends = [extreme.reduceat(side, piece.starts) for extreme in EXTREMES for side in (a, b)]
            size = np.abs(ends).max(axis=0)
            for name, *numbers in zip(piece.names, gap.tolist(), size.tolist(), strict=True):
                held = found.get(name, (0.0, 0.0))
                found[name] = (_worse(held[0], numbers[0]), _worse(held[1], numbers[1]))
    return found


def _worse(held: float, number: float) -> float:
    """The greater; NaN, which loses every comparison, wins here."""
    return held if number <= held or held != held else number


def _pieces(pairs: Mapping[str, Pair]) -> Iterator[_Piece]:
    piece = _Piece()
    for name, (a, b) in pairs.items():
        a, b = a.reshape(-1), b.reshape(-1)
        for start in range(0, a.size, PIECE):
            part = a[start : start + PIECE], b[start : start + PIECE]
            if piece.size + part[0].size > PIECE:
                yield piece
                piece = _Piece()
            piece.add(name, part)
    if piece.names:
        yield piece
