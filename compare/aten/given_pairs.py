"""Which entry of b's given tensors is which entry of a's: weights under other names, transposed,
fused, split, or with their rows in another order.

What is given has no rounding: two entries are the same number or they are not. So every pairing is
found by exact equality, and what is made of a given tensor (its gradient, its new value, its
optimizer state) is then compared entry by entry in the same way.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.snapshots import TensorRef

# Permuting the dimensions of a tensor with more of them is not tried.
MOST_DIMENSIONS = 5


@dataclass(frozen=True)
class Pairing:
    """Where the entries of one tensor of b come from: the entry at flat position i of b's is at
    flat position `positions[i]` of a's tensor `names[sources[i]]`.

    rivals are the other places where a has the very same numbers, which may be meant as well.
    """

    names: tuple[str, ...]
    sources: np.ndarray
    positions: np.ndarray
    rivals: "tuple[Pairing, ...]" = ()

    @property
    def place(self) -> tuple[str, int]:
        """Where in a it begins."""
        first = int(self.sources[0]) if self.sources.size else 0
        return self.names[first], int(self.positions[0]) if self.positions.size else 0

    @property
    def straight(self) -> bool:
        """b's tensor is one of a's as it is."""
        in_order = np.array_equal(self.positions, np.arange(self.positions.size))
        return len(self.names) == 1 and in_order

    def taken_from(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """b's tensor with a's numbers. The tensors have the shapes of those that were paired."""
        flat = [np.asarray(tensors[name]).reshape(-1) for name in self.names]
        made = np.empty(self.positions.size, np.result_type(*flat))
        for i, numbers in enumerate(flat):
            here = self.sources == i
            made[here] = numbers[self.positions[here]]
        return made.reshape(shape)


def paired(
    a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], hints: Mapping[str, str]
) -> dict[str, Pairing]:
    """A Pairing for each tensor of b whose numbers a has. hints maps names of b to names of a."""
    found: dict[str, Pairing] = {}
    taken: set[tuple[str, int]] = set()
    for name, array in _large_first(b):
        pairing = _as_its_owner(name, array, a, found)
        pairing = pairing or _of_its_own(name, array, a, hints, taken, found)
        kept = name.rpartition(".")[0] in found  # by an optimizer, for a parameter
        if pairing and kept and not all(n.rpartition(".")[0] in a for n in pairing.names):
            continue
        if pairing is not None:
            found[name] = pairing
            taken.add(pairing.place)
    return {name: found[name] for name in b if name in found}


def _of_its_own(
    name: str,
    array: np.ndarray,
    a: Mapping[str, np.ndarray],
    hints: Mapping[str, str],
    taken: set[tuple[str, int]],
    found: Mapping[str, Pairing],
) -> Pairing | None:
    """By name, by its numbers, or by where its weight went. A vector of one number (a fresh bias)
    has its numbers in many places; where its weight went says which."""
    whole, beside = _whole(name, array, a, hints, taken), [*_beside(name, array, a, found)]
    meant = whole is not None and whole.names[0] == hints.get(name, name)
    if beside and not meant and (whole is None or (array == array.flat[0]).all()):
        best, *rivals = beside
        more = () if whole is None else (replace(whole, rivals=()), *whole.rivals)
        return replace(best, rivals=(*rivals, *more))
    return whole or _by_rows(array, a, taken) or _by_runs(array, a)


def hinted(names: Mapping[str, str], of_b: Iterable[str]) -> dict[str, str]:
    """{"fc1": "layers.0"} for each tensor of both: b's layers.0.weight is a's fc1.weight."""
    found = {}
    for name in of_b:
        for of_a, meant in names.items():
            if name == meant or name.startswith(f"{meant}."):
                found[name] = of_a + name[len(meant) :]
    return found


def _large_first(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Matrices before vectors: where a weight lies says which bias is its own."""
    yield from sorted(arrays.items(), key=lambda item: -item[1].ndim)


def _as_its_owner(
    name: str, array: np.ndarray, a: Mapping[str, np.ndarray], found: Mapping[str, Pairing]
) -> Pairing | None:
    """What an optimizer keeps for a parameter (fc1.weight.exp_avg) lies as the parameter does; it
    may have another name in a."""
    owner, _, slot = name.rpartition(".")
    if owner not in found or found[owner].positions.size != array.size:
        return None
    fitting = []
    for choice in (found[owner], *found[owner].rivals):
        first = f"{choice.names[0]}."
        others = [n.removeprefix(first) for n in a if n.startswith(first)]
        for theirs in [slot] if first + slot in a else others:
            own = replace(choice, names=tuple(f"{n}.{theirs}" for n in choice.names), rivals=())
            pairs = zip(own.names, choice.names, strict=True)
            there = all(s in a and a[s].shape == a[n].shape for s, n in pairs)
            if there and np.array_equal(own.taken_from(a, array.shape), array):
                fitting.append(own)
    return replace(fitting[0], rivals=tuple(fitting[1:])) if fitting else None


def _whole(
    name: str,
    array: np.ndarray,
    a: Mapping[str, np.ndarray],
    hints: Mapping[str, str],
    taken: set[tuple[str, int]],
) -> Pairing | None:
    """One tensor of a with its dimensions in some order, preferably of the same name, in the same
    order, and not another's partner."""
    meant = hints.get(name, name)
    candidates = []
    for rank, (other, numbers) in enumerate(a.items()):
        if numbers.size == array.size and numbers.dtype == array.dtype:
            moved = _moved(numbers, array)
            if moved is not None:
                straight = np.array_equal(moved, np.arange(array.size))
                pairing = Pairing((other,), np.zeros(array.size, np.int64), moved)
                used = pairing.place in taken
                key = (other != meant, used, not straight, numbers.ndim != array.ndim, rank)
                candidates.append((key, pairing))
    if not candidates:
        return None
    best, *rivals = [pairing for _, pairing in sorted(candidates, key=lambda c: c[0])]
    return best if best.names[0] == meant else replace(best, rivals=tuple(rivals))


def _moved(numbers: np.ndarray, array: np.ndarray) -> np.ndarray | None:
    """Positions in numbers of array's entries, if array is numbers with its dimensions permuted."""
    where = np.arange(numbers.size).reshape(numbers.shape)
    if np.array_equal(numbers.reshape(-1), array.reshape(-1), equal_nan=_real(array)):
        return where.reshape(-1)
    if not 1 < numbers.ndim <= MOST_DIMENSIONS:
        return None
    flat = array.reshape(-1)
    for order in permutations(range(numbers.ndim)):
        if np.array_equal(numbers.transpose(order).reshape(-1), flat):
            return where.transpose(order).reshape(-1)
    return None


def _real(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"


def _beside(
    name: str, array: np.ndarray, a: Mapping[str, np.ndarray], found: Mapping[str, Pairing]
) -> Iterator[Pairing]:
    """A bias goes where its weight went: from the same rows of the tensor beside a's weight. First
    those of the weight that it is called after."""
    module, _, own = name.rpartition(".")
    weights = [n for n in found if n.rpartition(".")[0] == module and array.ndim == 1]
    for other in sorted(weights, key=lambda n: not own.startswith(n.rpartition(".")[2])):
        pairing = found[other]
        parts = [_bias_beside(n, own, a) for n in pairing.names]
        if not parts or "" in parts:
            continue
        rows = pairing.positions.size // max(array.size, 1)
        if not rows or pairing.positions.size % array.size:
            continue
        first = slice(None, None, rows)
        lengths = [
            a[n].size // max(a[part].size, 1) for n, part in zip(pairing.names, parts, strict=True)
        ]
        sources = pairing.sources[first]
        positions = pairing.positions[first] // np.maximum(np.array(lengths)[sources], 1)
        candidate = Pairing(tuple(parts), sources, positions)
        if any(
            positions[sources == i].max(initial=0) >= a[part].size for i, part in enumerate(parts)
        ):
            continue
        if np.array_equal(candidate.taken_from(a, array.shape), array):
            yield candidate


def _bias_beside(weight: str, own: str, a: Mapping[str, np.ndarray]) -> str:
    """The bias of a weight of a: of this name in its module, or the only vector there with an entry
    for each row, or the one that is called after it; "" if there is none."""
    module, _, last = weight.rpartition(".")
    if (same := f"{module}.{own}".lstrip(".")) in a:
        return same
    vectors = [
        n
        for n, x in a.items()
        if n.rpartition(".")[0] == module and x.ndim == 1 and len(x) == len(a[weight])
    ]
    called = [n for n in vectors if n.rpartition(".")[2].startswith(last)]
    return next((names[0] for names in (vectors, called) if len(names) == 1), "")


def _by_rows(
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


def _by_runs(array: np.ndarray, a: Mapping[str, np.ndarray]) -> Pairing | None:
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


def same_given(a: Record, b: Record, pairs: Mapping[str, Pairing]) -> dict[TensorRef, TensorRef]:
    """b's given tensors that are one of a's as they are."""
    found = {}
    for name, pairing in pairs.items():
        if pairing.straight:
            found[b.given[name]] = a.given[pairing.names[0]]
    return found
