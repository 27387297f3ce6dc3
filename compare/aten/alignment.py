"""What two records have in common, as aligning them (align.py) finds it."""

from dataclasses import dataclass, field

from torch_parity.compare.aten.end_verdicts import EndVerdict
from torch_parity.compare.aten.memory import Place
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.snapshots import TensorRef


@dataclass
class Alignment:
    """shared maps tensors of b to the same tensors of a; orders says of which the dimensions are in
    another order. known is the memory of b, by storage and version, that holds a's numbers, and
    known_of_a that of a that b has as well. ends are the verdicts on b's results; unbounded are the
    calls of b that no bound can be derived for, with the reason.
    """

    a: Record
    b: Record
    shared: dict[TensorRef, TensorRef] = field(default_factory=dict)
    orders: dict[TensorRef, tuple[int, ...]] = field(default_factory=dict)
    known: set[Place] = field(default_factory=set)
    known_of_a: set[Place] = field(default_factory=set)
    ends: list[EndVerdict] = field(default_factory=list)
    unbounded: dict[int, str] = field(default_factory=dict)
