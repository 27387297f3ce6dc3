"""Which call wrote a tensor, and which calls lead to it."""

from collections.abc import Collection

from torch_parity.compare.aten.memory import Place
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef


def is_view(call: Call) -> bool:
    """It returns memory that it was given, unchanged."""
    given = {ref.place for ref in call.inputs}
    return bool(call.outputs) and all(ref.place in given for ref in call.outputs)


def writers_of(record: Record) -> dict[Place, Call]:
    """The call that wrote each version of each storage."""
    found: dict[Place, Call] = {}
    for call in record.calls:
        if not is_view(call):
            for ref in call.outputs:
                found.setdefault(ref.place, call)
    return found


def stretch(record: Record, ref: TensorRef, known: Collection[Place]) -> list[Call]:
    """The calls that make a tensor from what is known, in order."""
    writers = writers_of(record)
    todo, seen, found = [ref.place], set(), set()
    while todo:
        place = todo.pop()
        if place in seen or place in known:
            continue
        seen.add(place)
        call = writers.get(place)
        if call is None:
            continue
        found.add(call.index)
        todo += [r.place for r in call.inputs]
        if place[1]:
            todo.append((place[0], place[1] - 1))
    return [record.calls[i] for i in sorted(found)]
