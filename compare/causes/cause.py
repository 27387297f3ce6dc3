"""A known mistake as an intervention: which operations of the flow it changes, and into what.

The diagnosis puts the changed operation in place of the right one and replays it on the inputs that
the side recorded. Only if the difference collapses to rounding is the cause named, so what is
written here is never a guess, and it is what plants the mistake for the tests as well.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from torch_parity.compare.bounds.precision import precision
from torch_parity.compare.causes.factor import Factor
from torch_parity.compare.flow.graph import Graph
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS

FLOAT64 = np.dtype(np.float64)
Change = Callable[[Node, "Evidence"], Iterable[Node]]
Where = Callable[[Node, "Evidence"], bool]


@dataclass
class Evidence:
    """What a change may look at: everything recorded (`known`), and what the node should have made.

    Halves are widened here, to compute with; judged holds known and trace in the one precision,
    dtype, that they are judged in, and wider names what was recorded in a wider one.

    Some mistakes have a number in them (a slope, a learning rate). While diagnosing it is read off
    the record; while planting (`rng` is given) it is drawn, once per name.
    """

    nodes: tuple[Node, ...]
    known: Mapping[str, np.ndarray]
    trace: Mapping[str, np.ndarray] = field(default_factory=dict)
    dtype: np.dtype = FLOAT64
    judged: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]] = ({}, {})
    wider: frozenset[str] = frozenset()
    rng: np.random.Generator | None = None
    drawn: dict[str, Any] = field(default_factory=dict)
    read: dict[str, list[float]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)  # asked for before any tensor had shown it
    alone: dict[str, list[Factor]] = field(default_factory=dict)  # each shown by one entry
    memo: dict[Any, Any] = field(default_factory=dict)  # what the diagnosis has computed already

    def number(
        self,
        name: str,
        estimate: Callable[[], Factor | float | None],
        draw: Callable[[np.random.Generator], float],
    ) -> list[float]:
        """The value to try; where this tensor does not show it, those that others have shown."""
        if self.rng is not None:
            if name not in self.drawn:
                self.drawn[name] = draw(self.rng)
            return [self.drawn[name]]
        found = estimate()
        if isinstance(found, Factor):
            found = self._together(name, found) if found.alone else found.value
        if found is None or not np.isfinite(found):
            if name not in self.read:
                self.unread.add(name)
            return self.read.get(name, [])
        self.read.setdefault(name, []).append(found)
        return [found]

    def _together(self, name: str, factor: Factor) -> float | None:
        """The number that this entry and another one both show; one entry alone shows nothing."""
        others = self.alone.setdefault(name, [])
        shared = (factor.shared_with(other) for other in others)
        found = next((value for value in shared if value is not None), None)
        others.append(factor)
        return found

    @property
    def eps(self) -> float:
        """The gap between 1 and the next number that is judged."""
        return precision(self.dtype).eps

    @cached_property
    def graph(self) -> Graph:
        """Who makes, who reads what."""
        return Graph(self.nodes)

    @property
    def labels(self) -> np.ndarray:
        """The labels that the loss is given."""
        return self.known[self.graph.losses[0].inputs[1]]

    def penalty(self) -> dict[str, Any] | None:
        """l1, l2 and m of the case, where it has a penalty."""
        return next((dict(n.options) for n in self.nodes if n.operation == "penalty"), None)


@dataclass(frozen=True)
class Effect:
    """What a mistake does to the operations that `on` accepts; any of the changes will do."""

    on: Where
    change: Change


@dataclass(frozen=True)
class Cause:
    """One known mistake.

    ways are the forms it takes; a way is a tuple of effects that all show, in each layer that it
    touches. manual and torch are the remedy as a line of code on either side; remedy gives both for
    the operation at hand, where they depend on it. tuned marks a mistake
    with a number read off the record: it yields to one that explains as much without. yields_to is
    a mistake whose traces all look like this one's. dtype, activation and case (other fields) are
    those of a case that can have it; no activation is any of the course's.
    """

    name: str
    sentence: str
    manual: str
    torch: str
    ways: tuple[tuple[Effect, ...], ...]
    tuned: bool = False
    yields_to: str = ""
    dtype: Literal["float64", "float32"] = "float64"
    activation: str = ""
    case: Mapping[str, Any] = field(default_factory=dict)
    remedy: Callable[[Node], tuple[str, str]] | None = None


def on(*operations: str) -> Where:
    """Nodes of these operations."""
    return lambda node, e: node.operation in operations


def is_loss(node: Node, e: Evidence) -> bool:
    """A loss, forward."""
    row = OPERATIONS.get(node.operation)
    return row is not None and row.is_loss


def is_loss_backward(node: Node, e: Evidence) -> bool:
    """The gradient of a loss."""
    return node.forward is not None and is_loss(node.forward, e)


def into(operation: str, **options: Any) -> Change:
    """Another registered operation, or the same with other options."""
    return lambda node, e: [replace(node, operation=operation, options=options)]


def by(formula: Callable[..., Any], **options: Any) -> Change:
    """A formula of its own: formula(functions, *inputs, **options)."""
    return lambda node, e: [replace(node, formula=formula, options={**node.options, **options})]


def read_also(node: Node, formula: Callable[..., Any], *names: str, **options: Any) -> Node:
    """The node with a formula that takes further inputs, after its own."""
    return replace(
        node,
        inputs=(*node.inputs, *names),
        formula=formula,
        options={**node.options, **options},
    )


def one(change: Change, where: Where) -> tuple[Effect, ...]:
    """A way with a single effect."""
    return (Effect(where, change),)
