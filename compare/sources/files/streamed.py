"""Two files compared tensor by tensor, and large tensors block by block."""

import numpy as np

from torch_parity.compare.bounds.precision import widened
from torch_parity.compare.judge.differences import (
    Difference,
    difference,
    largest,
    without_bound,
)
from torch_parity.compare.sources.files.stored import Entry, Stored

BLOCK = 2**20  # entries at once; comparing takes about six arrays of that size


def compare_stored(
    manual: Stored, torch: Stored, called: tuple[str, str]
) -> tuple[Difference, ...]:
    """The Difference of each tensor, with only a few blocks in memory. Nothing says how much
    rounding may do, so what is not equal is unjudged; but given tensors are equal or they are not.

    Raises:
        ValueError: there is nothing to compare.
    """
    large = {name for name in manual if _large(manual.entries[name], torch.entries.get(name))}
    found: list[Difference] = []
    for name in dict.fromkeys([*manual, *torch]):
        if name in large:
            found.append(_by_blocks(name, manual.entries[name], torch.entries[name], called))
        else:
            found.append(_whole(name, manual.entries.get(name), torch.entries.get(name), called))
    return tuple(
        without_bound(d, manual.entries[d.name].read_as)
        if d.verdict == "differs" and not d.name.startswith("given ")
        else d
        for d in found
    )


def _whole(
    name: str, manual: Entry | None, torch: Entry | None, called: tuple[str, str]
) -> Difference:
    """The numbers are read only where both have the tensor in one shape and type: a header alone
    may declare any size."""
    both = [e for e in (manual, torch) if e is not None]
    same = len(both) == 2 and _shape_and_type(both[0]) == _shape_and_type(both[1])
    read = [
        None if e is None else widened(e.read()) if same else _without_numbers(e)
        for e in (manual, torch)
    ]
    return difference(name, read[0], read[1], called)


def _shape_and_type(entry: Entry) -> tuple[tuple[int, ...], np.dtype]:
    return entry.shape, widened(np.empty(0, entry.read_as)).dtype


def _without_numbers(entry: Entry) -> np.ndarray:
    """An array of this shape and type that takes no memory."""
    shape, dtype = _shape_and_type(entry)
    return np.broadcast_to(np.zeros((), dtype), shape)


def _large(manual: Entry, torch: Entry | None) -> bool:
    return (
        torch is not None
        and manual.size > BLOCK
        and (manual.shape, manual.read_as) == (torch.shape, torch.read_as)
        and not (manual.by_columns or torch.by_columns)
    )


def _by_blocks(name: str, manual: Entry, torch: Entry, called: tuple[str, str]) -> Difference:
    absolute, size, at, values = -1.0, 0.0, 0, ("", "")
    blocks = zip(manual.blocks(BLOCK), torch.blocks(BLOCK), strict=True)
    for start, (one, other) in zip(range(0, manual.size, BLOCK), blocks, strict=True):
        one, other = widened(one), widened(other)
        d = difference(name, one, other, called)
        if d.verdict == "not finite":
            index = _index(start + d.index[0], manual)
            detail = f"{d.detail.rpartition(' at ')[0]} at {list(index)}"
            return Difference(name, "not finite", 0.0, index=index, detail=detail)
        size = max(size, largest(one), largest(other))
        if d.absolute > absolute:
            absolute, at = d.absolute, start + d.index[0]
            values = (f"{one[d.index]:.9g}", f"{other[d.index]:.9g}")
    relative = absolute / size if size else 0.0
    index = _index(at, manual)
    if absolute == 0:
        return Difference(name, "match", 0.0, absolute, relative, index)
    detail = f"at {list(index)} {called[0]} {values[0]}, {called[1]} {values[1]}"
    return Difference(name, "differs", 0.0, absolute, relative, index, detail)


def _index(flat: int, entry: Entry) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, entry.shape))
