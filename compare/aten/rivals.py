"""Which of several weights with the same numbers is which: their gradients say.

Two fresh gains are both 1. A tensor of b may be either; but each has one gradient, so each gradient
of a has to be that of one tensor of b.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.ends import result_of
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.aten.pairing import Pairing
from torch_parity.compare.aten.record import Record
from torch_parity.compare.tensors import to_numpy

GRADIENT = ".grad"


def settled(
    alignment: Alignment, pairs: Mapping[str, Pairing]
) -> tuple[dict[str, Pairing], tuple[str, ...]]:
    """The pairs, each with its own partner where the gradients tell, and the gradients of a that
    none of b's tensors has left to be. Tensors that are whole ones of a alone are considered."""
    choices = _choices(alignment, pairs)
    partner: dict[str, str] = {}  # a's tensor to b's
    meant = {n for base, p in pairs.items() if base not in choices for n in p.names}
    left = [
        name
        for name in _gradients(alignment, (pairs[base] for base in choices))
        if not _matched(name, choices, partner, set()) and name not in meant
    ]
    found = dict(pairs)
    for first, base in partner.items():
        whole = (pairs[base], *pairs[base].rivals)
        chosen = next(p for p in whole if p.names == (first,))
        found[base] = replace(chosen, rivals=())
    a = alignment.a
    return found, tuple(result_of(a, name, "", GRADIENT) for name in left)


def _choices(alignment: Alignment, pairs: Mapping[str, Pairing]) -> dict[str, list[str]]:
    """For each ambiguous tensor of b the tensors of a whose gradients are like its own."""
    found, largest = {}, _largest(alignment.b)
    for verdict in alignment.ends:
        base = verdict.end.name.removesuffix(GRADIENT)
        pairing = pairs.get(base)
        ambiguous = pairing is not None and pairing.rivals and verdict.end.phase == "backward"
        if pairing is None or not ambiguous or verdict.outcome != "right":
            continue
        whole = (pairing, *pairing.rivals)
        if all(len(p.names) == 1 and _is_whole(alignment, p) for p in whole):
            own = to_numpy(alignment.b.value(verdict.end.ref))
            alike = (p for p in whole if _has(alignment, p, own, largest))
            found[base] = list(dict.fromkeys(p.names[0] for p in alike))
    return found


def _gradients(alignment: Alignment, ambiguous: Iterable[Pairing]) -> Iterable[str]:
    """The tensors of a that these may be, and that have a gradient."""
    whole = (p.names[0] for pairing in ambiguous for p in (pairing, *pairing.rivals))
    a = alignment.a
    return [n for n in dict.fromkeys(whole) if result_of(a, n, "", GRADIENT) in a.results]


def _is_whole(alignment: Alignment, pairing: Pairing) -> bool:
    size = int(np.prod(alignment.a.given[pairing.names[0]].shape, dtype=np.int64))
    return size == pairing.positions.size


def _has(alignment: Alignment, pairing: Pairing, own: np.ndarray, largest: float) -> bool:
    """Half of the digits are the same, of the largest entry of all gradients: one that is 0 in
    theory is what others round. The judge has held them to their bound already."""
    a = alignment.a
    ref = a.results.get(result_of(a, pairing.names[0], "", GRADIENT))
    if ref is None or ref.unjudged:
        return False
    theirs = pairing.taken_from({pairing.names[0]: to_numpy(a.value(ref))}, own.shape)
    return bool((np.abs(own - theirs) <= 2.0 ** (-digits(ref.dtype) / 2) * largest).all())


def _largest(record: Record) -> float:
    """The largest entry of all gradients."""
    gradients = (r for n, r in record.results.items() if n.endswith(GRADIENT) and not r.unjudged)
    sizes = (np.abs(to_numpy(record.value(ref))).max(initial=0.0) for ref in gradients)
    return max(map(float, sizes), default=0.0)


def _matched(
    name: str, choices: Mapping[str, Iterable[str]], partner: dict[str, str], tried: set[str]
) -> bool:
    """Whether a tensor of b is left for a's, perhaps after others have taken another one."""
    taken = {base: first for first, base in partner.items()}
    for base, places in choices.items():
        if name not in places or base in tried:
            continue
        tried.add(base)
        other = taken.get(base)
        if other is None or _matched(other, choices, partner, tried):
            if other is not None and partner.get(other) == base:
                del partner[other]
            partner[name] = base
            return True
    return False
