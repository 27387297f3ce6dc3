"""The tensors that two records were given: which are the same, and which should be."""

from collections.abc import Mapping, Sequence

import numpy as np

from torch_parity.compare.aten.given_pairs import Known, hinted, paired, roles_of
from torch_parity.compare.aten.pairing import Pairing
from torch_parity.compare.aten.record import Record
from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.tensors import to_numpy


def _given(record: Record) -> dict[str, np.ndarray]:
    """What was given, as arrays, by name."""
    return {
        name: to_numpy(record.value(ref)) for name, ref in record.given.items() if not ref.unjudged
    }


def given_pairs(a: Record, b: Record, names: Mapping[str, str]) -> dict[str, Pairing]:
    """The given tensors of b that a has as well. names are hints, a's to b's."""
    known = Known(_given(a), roles_of(a), roles_of(b))
    return paired(known, _given(b), hinted(names, b.given))


def require_known(
    names: Mapping[str, str], records: Sequence[Record], called: tuple[str, str]
) -> None:
    """Raises:
    InputError: names= has a name that is no tensor of its model, and no module of one.
    """
    for pair in names.items():
        for name, record, model in zip(pair, records, called, strict=True):
            known = {n[:i] for n in record.given for i, c in enumerate(f"{n}.") if c == "."}
            if name not in known:
                raise InputError(
                    f"names: {model} has no {name!r} (a's names stand before b's, "
                    f"{{'fc1': 'layers.0'}}); {suggest(name, sorted(known))}"
                )


def given_differ(
    a: Record, b: Record, pairs: Mapping[str, Pairing], called: tuple[str, str]
) -> list[str]:
    """Weights that should be the same numbers, and are not: same name, same shape, and no
    counterpart anywhere."""
    of_a, of_b = _given(a), _given(b)
    found = []
    for name, array in of_b.items():
        other = of_a.get(name)
        if name in pairs or other is None or other.shape != array.shape or not array.size:
            continue
        gap = np.asarray(np.abs(other.astype(np.float64) - array.astype(np.float64)))
        gap[np.isnan(other) != np.isnan(array)] = np.inf
        at = np.unravel_index(int(np.nan_to_num(gap, posinf=np.inf).argmax()), gap.shape)
        where = f" at {[int(i) for i in at]}" if at else ""
        found.append(
            f"Given differently: {name}{where} is {other[at]:.9g} in {called[0]} and "
            f"{array[at]:.9g} in {called[1]}."
        )
    return found
