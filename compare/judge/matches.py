"""The greatest gap and the largest entry of many tensors at once.

Compared one by one, forty small tensors take a third of the time of a step, for the calls alone,
and a large tensor needs one pass over memory for each number. So all entries go through pieces of
memory that fit into the cache: small tensors share a piece, large ones take several.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

PIECE = 32768  # entries: 256 KiB of float64, which stay in a level-2 cache

Pair = tuple[np.ndarray, np.ndarray]


@dataclass
class _Piece:
    """Parts of tensors that are compared together; that of names[i] begins at entry starts[i]."""

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
    """name -> (greatest |a - b|, greatest |a|); the first is NaN or infinity where either holds
    one. The arrays are of one dtype, each pair alike in shape, and none is empty."""
    found: dict[str, tuple[float, float]] = {}
    with np.errstate(invalid="ignore", over="ignore"):
        for piece in _pieces(pairs):
            gaps = np.empty(piece.size, piece.parts[0][0].dtype)
            for (a, b), start in zip(piece.parts, piece.starts, strict=True):
                np.subtract(a, b, out=gaps[start : start + a.size])
            np.abs(gaps, out=gaps)
            alone = len(piece.parts) == 1
            entries = piece.parts[0][0] if alone else np.concatenate([a for a, _ in piece.parts])
            gap = np.maximum.reduceat(gaps, piece.starts).tolist()
            high = np.maximum.reduceat(entries, piece.starts).tolist()
            low = np.minimum.reduceat(entries, piece.starts).tolist()
            for name, *numbers in zip(piece.names, gap, high, low, strict=True):
                held = found.get(name, (0.0, 0.0))
                size = max(held[1], numbers[1], -numbers[2])
                found[name] = (_worse(held[0], numbers[0]), size)
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
