"""Tensors that a step writes into and that belong to nobody it knows: a running statistic in a
loss, an average of weights in a hook. Both models may write into the same one.
"""

from collections.abc import Iterable

from torch import Tensor

from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.snapshots import Snapshots


def put_back(record: Record, snapshots: Snapshots, own: Iterable[Tensor]) -> list[tuple[int, ...]]:
    """Give the memory that the step found, wrote into and does not own what it held before.

    The answer are the shapes of the tensors.
    """
    known = {ref.storage for ref in record.given.values()}
    known |= {snapshots.ref(t).storage for t in own}
    found: dict[int, tuple[int, ...]] = {}
    made: set[int] = set()
    for call in record.calls:
        read = {ref.storage: ref for ref in call.inputs if not ref.unjudged}
        for ref in call.outputs:
            if ref.storage not in read and ref.storage not in found:
                made.add(ref.storage)
            elif ref.version > 0 and ref.storage not in known | made:
                found.setdefault(ref.storage, ref.shape)
    for storage in found:
        snapshots.put_back(storage)
    return list(found.values())
