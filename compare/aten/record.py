"""What a recorded step is made of: tensors as they were, and the calls that made them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch

from torch_parity.compare.aten.snapshots import TensorRef, Values
from torch_parity.compare.torch_private import flattened

Phase = Literal["forward", "backward", "update"]


@dataclass
class Call:
    """One ATen call.

    args and kwargs are as they were given, with a TensorRef in the place of each tensor; outputs
    are the tensors that it returned, then those that it wrote into and did not return.

    module is the path of the module that made the call ("" is the model itself), and visit how
    often that module had been called before. line is "file.py:12" of the user's program. A call in
    the backward pass has those of its forward call, which is calls[forward].
    """

    index: int
    overload: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[TensorRef, ...]
    phase: Phase = "forward"
    module: str = ""
    visit: int = 0
    line: str = ""
    forward: int | None = None
    node: str = ""
    function: int | None = None

    @property
    def name(self) -> str:
        """Such as aten.addmm.default."""
        return str(self.overload)

    @property
    def operation(self) -> str:
        """Such as addmm, of aten.addmm_.out as well."""
        return operation_of(self.overload)

    @property
    def inputs(self) -> list[TensorRef]:
        """Every tensor among the arguments, in order."""
        return [x for x in flattened((self.args, self.kwargs)) if isinstance(x, TensorRef)]


@dataclass
class FunctionCall:
    """One call of a custom torch.autograd.Function: its inputs and outputs, the calls that its
    forward made, and the gradients that came in and went out of its backward."""

    index: int
    name: str
    args: tuple[Any, ...]
    needs: tuple[bool, ...]
    module: str
    line: str
    first: int
    end: int = 0
    outputs: tuple[TensorRef, ...] = ()
    upstream: tuple[TensorRef | None, ...] | None = None
    gradients: tuple[TensorRef | None, ...] | None = None


@dataclass
class Record:
    """One step: its calls in order, the tensors, and what the named ones are called.

    given are the tensors that the step began from, by name; results those that it leaves behind
    (outputs, the loss, gradients, the updated parameters, optimizer state), outside those of them
    that no recorded call made (NumPy, Python). others are results that are neither tensors nor real
    numbers: a string, an object. read are the tensors that a float was last read from. named are
    the outputs of the modules and their gradients: fc1, fc1.grad; of a second call fc1@2; of
    several outputs lstm.0. notes say what a reader has to know.

    compiled counts the calls of compiled code, which no record sees; graphs and graph_breaks are
    those that were made then. eager_instead says that torch ran the eager form of compiled code;
    undrawn that random numbers to be drawn again were not.

    stored are the names of attributes in which the step stores tensors, unregistered the shapes of
    tensors that it trains and that are no parameters; seeded says that it seeds a generator or has
    its own; foreign the shapes of tensors of nobody that it writes into;
    cut the outputs without a gradient, if it is
    known: what nobody compares
    (uncompared.py). attributes are the numbers and texts that the
    model had at first.
    """

    snapshots: Values
    calls: list[Call] = field(default_factory=list)
    functions: list[FunctionCall] = field(default_factory=list)
    given: dict[str, TensorRef] = field(default_factory=dict)
    results: dict[str, TensorRef] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)
    others: dict[str, Any] = field(default_factory=dict)
    read: dict[float, TensorRef] = field(default_factory=dict)
    named: dict[str, TensorRef] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    compiled: int = 0
    graphs: int = 0
    graph_breaks: int = 0
    eager_instead: bool = False
    undrawn: bool = False
    stored: list[str] = field(default_factory=list)
    unregistered: list[tuple[int, ...]] = field(default_factory=list)
    seeded: bool = False
    foreign: list[tuple[int, ...]] = field(default_factory=list)
    cut: set[str] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def value(self, ref: TensorRef) -> torch.Tensor:
        """The tensor, as it was then."""
        return self.snapshots.value(ref)

    @cached_property
    def unseen(self) -> frozenset[tuple[int, int]]:
        """Memory that was neither given nor written by a recorded call: compiled code wrote it, or
        NumPy, or it is a constant of the program."""
        known = {ref.place for ref in self.given.values()}
        read = [ref for call in self.calls for ref in call.inputs]
        written = {
            ref.place
            for call in self.calls
            for ref in call.outputs
            if all(ref.place != r.place for r in call.inputs)
        }
        places = {ref.place for ref in (*read, *self.results.values()) if not ref.unjudged}
        return frozenset(places - known - written)

    def of_phase(self, phase: Phase) -> Iterator[Call]:
        """The calls of one phase."""
        return (call for call in self.calls if call.phase == phase)


def operation_of(overload: Any) -> str:
    """The operation's name without namespace, overload and the underscore of in-place writing."""
    name = str(overload._schema.name).partition("::")[2]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name
