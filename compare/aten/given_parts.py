"""Given tensors of b that are rows, columns or runs of a's: one model fuses what another splits."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.aten.pairing import Pairing


def by_rows(
    array: np.ndarray, a: Mapping[str, np.ndarray], taken: set[tuple[str, int]]
) -> Pairing | None:
    """Each row of a matrix of b, or each of its columns, is a row or a column of some matrix of
    a."""
    if array.ndim < 2 or not array.size:
        return None
    where = np.arange(array.size).reshape(array.shape)
    rows = array.reshape(len(array), -1), where.reshape(len(array), -1)
    for numbers, at in (rows, *_columns(array, where)):
        found = _rows_found(numbers, at, a, array.size)
        if found:
            best, *rivals = sorted(found, key=lambda pairing: pairing.place in taken)
            return replace(best, rivals=tuple(rivals))
    return None


def _columns(array: np.ndarray, where: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if array.ndim == 2:
        yield array.T, where.T


def _rows_found(
    rows: np.ndarray, at: np.ndarray, a: Mapping[str, np.ndarray], size: int
) -> list[Pairing]:
    """One pairing; where a has the same rows several times, one for each time."""
    known: dict[bytes, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for name, numbers in a.items():
        if numbers.ndim < 2 or numbers.dtype != rows.dtype or not numbers.size:
            continue
        places = np.arange(numbers.size).reshape(numbers.shape)
        turned: list[tuple[Any, Any]] = [
            (numbers.reshape(len(numbers), -1), places.reshape(len(numbers), -1))
        ]
        if numbers.ndim == 2:
            turned.append((numbers.T, places.T))
        for lines, line_places in turned:
            if lines.shape[1] == rows.shape[1]:
                for line, place in zip(lines, line_places, strict=True):
                    known[np.ascontiguousarray(line).tobytes()].append((name, place))
    found = [known.get(np.ascontiguousarray(row).tobytes(), []) for row in rows]
    times = min(len(places) for places in found)
    return [_joined([places[i] for places in found], at, size) for i in range(times)]


def _joined(places: list[tuple[str, np.ndarray]], at: np.ndarray, size: int) -> Pairing:
    names: dict[str, int] = {}
    sources, positions = np.empty(size, np.int64), np.empty(size, np.int64)
    for (name, place), target in zip(places, at, strict=True):
        sources[target] = names.setdefault(name, len(names))
        positions[target] = place
    return Pairing(tuple(names), sources, positions)


def by_runs(array: np.ndarray, a: Mapping[str, np.ndarray]) -> Pairing | None:
    """A vector of b is a run of a vector of a, or several such runs one after another."""
    if array.ndim != 1 or array.size < 2:
        return None
    names: dict[str, int] = {}
    sources, positions = np.empty(array.size, np.int64), np.empty(array.size, np.int64)
    start = 0
    while start < array.size:
        best: tuple[str, int, int] = ("", 0, 0)
        for name, numbers in a.items():
            if numbers.ndim == 1 and numbers.dtype == array.dtype:
                for at in np.flatnonzero(numbers == array[start]):
                    length = _run(numbers[at:], array[start:])
                    if length > best[2]:
                        best = (name, int(at), length)
        name, found, length = best
        if length < min(2, array.size - start):
            return None
        here = slice(start, start + length)
        sources[here] = names.setdefault(name, len(names))
        positions[here] = np.arange(found, found + length)
        start += length
    return Pairing(tuple(names), sources, positions)


def _run(first: np.ndarray, second: np.ndarray) -> int:
    n = min(first.size, second.size)
    differ = np.flatnonzero(first[:n] != second[:n])
    return int(differ[0]) if differ.size else n
