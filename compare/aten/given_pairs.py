"""Which entry of b's given tensors is which entry of a's: weights under other names, transposed,
fused, split, or with their rows in another order.

What is given has no rounding: two entries are the same number or they are not. So every pairing is
found by exact equality, and what is made of a given tensor (its gradient, its new value, its
optimizer state) is then compared entry by entry in the same way.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations

import numpy as np

from torch_parity.compare.aten.given_parts import by_rows, by_runs
from torch_parity.compare.aten.pairing import Pairing
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.snapshots import TensorRef

Role = tuple[bool, bool]
# Permuting the dimensions of a tensor with more of them is not tried.
MOST_DIMENSIONS = 5


@dataclass(frozen=True)
class Known:
    """What is known of a's given tensors: their numbers, and what the step does with each tensor of
    both (`roles_of`), which tells a bias from a running mean where both are 0."""

    numbers: Mapping[str, np.ndarray]
    roles: Mapping[str, Role] = field(default_factory=dict)
    roles_of_b: Mapping[str, Role] = field(default_factory=dict)

    def alike(self, name: str, other: str) -> bool:
        """Whether the step does the same with b's tensor and with a's."""
        return self.roles_of_b.get(name) == self.roles.get(other)


def paired(
    known: Known, b: Mapping[str, np.ndarray], hints: Mapping[str, str]
) -> dict[str, Pairing]:
    """A Pairing for each tensor of b whose numbers a has. hints maps names of b to names of a."""
    a = known.numbers
    found: dict[str, Pairing] = {}
    taken: set[tuple[str, int]] = set()
    for name, array in _large_first(b):
        pairing = _as_its_owner(name, array, a, found)
        pairing = pairing or _of_its_own(name, array, known, hints, taken, found)
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
    known: Known,
    hints: Mapping[str, str],
    taken: set[tuple[str, int]],
    found: Mapping[str, Pairing],
) -> Pairing | None:
    """By name, by its numbers, or by where its weight went. A vector of one number (a fresh bias)
    has its numbers in many places; where its weight went says which."""
    a = known.numbers
    whole, beside = _whole(name, array, known, hints, taken), [*_beside(name, array, known, found)]
    meant = whole is not None and whole.names[0] == hints.get(name, name)
    if beside and not meant and (whole is None or (array == array.flat[0]).all()):
        best, *rivals = beside
        more = () if whole is None else (replace(whole, rivals=()), *whole.rivals)
        return replace(best, rivals=(*rivals, *more))
    return whole or by_rows(array, a, taken) or by_runs(array, a)


def roles_of(record: Record) -> dict[str, Role]:
    """Whether each given tensor has a gradient, and whether it is written."""
    made = record.results
    return {name: (f"{name}.grad" in made, f"new {name}" in made) for name in record.given}


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
    known: Known,
    hints: Mapping[str, str],
    taken: set[tuple[str, int]],
) -> Pairing | None:
    """One tensor of a with its dimensions in some order, preferably of the same name, in the same
    role, in the same order, and not another's partner."""
    meant = hints.get(name, name)
    candidates = []
    for rank, (other, numbers) in enumerate(known.numbers.items()):
        if numbers.size == array.size and numbers.dtype == array.dtype:
            moved = _moved(numbers, array)
            if moved is not None:
                straight = np.array_equal(moved, np.arange(array.size))
                pairing = Pairing((other,), np.zeros(array.size, np.int64), moved)
                used = pairing.place in taken
                other_role = not known.alike(name, other)
                other_form = not straight, numbers.ndim != array.ndim
                key = (other != meant, other_role, used, *other_form, rank)
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
    name: str, array: np.ndarray, known: Known, found: Mapping[str, Pairing]
) -> Iterator[Pairing]:
    """A bias goes where its weight went: from the same rows of the tensor beside a's weight. First
    those of the weight that it is called after."""
    a = known.numbers
    module, _, own = name.rpartition(".")
    weights = [
        n for n in found if n.rpartition(".")[0] == module and array.ndim == 1 and array.size
    ]
    for other in sorted(weights, key=lambda n: not own.startswith(n.rpartition(".")[2])):
        pairing = found[other]
        parts = [_bias_beside(n, own, a) for n in pairing.names]
        if not parts or not all(part and known.alike(name, part) for part in parts):
            continue
        rows = pairing.positions.size // array.size
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


def same_given(a: Record, b: Record, pairs: Mapping[str, Pairing]) -> dict[TensorRef, TensorRef]:
    """b's given tensors that are one of a's as they are."""
    found = {}
    for name, pairing in pairs.items():
        if pairing.straight:
            found[b.given[name]] = a.given[pairing.names[0]]
    return found
