"""What a step should compute, for `check` to judge by: its start, its nodes, torch's numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from torch_parity.compare.causes.plant import execute
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.trace import Tensors
from torch_parity.compare.sources.arrays.start import Given
from torch_parity.compare.sources.arrays.steps import (
    gradients_before,
    in_torch,
    several_steps,
)

INPUT_GRADIENT = "dx"
FIRST = ("linear_backward_parameters", "linear_no_bias_backward_parameters")
APPLIED_BY = {"cross_entropy": "softmax", "binary_cross_entropy_with_logits": "sigmoid"}


@dataclass(frozen=True)
class Expected:
    """One step, or several in a row."""

    start: Tensors
    nodes: tuple[Node, ...]
    torch: Tensors

    @classmethod
    def of(cls, at: Given) -> "Expected":
        """The step as it was recorded."""
        r = at.recorded
        return cls(r.start, r.nodes, r.torch)

    def with_input_gradient(self) -> "Expected":
        """The first layer's backward makes the gradient of x as well, which a step does not need
        but many programs compute."""
        first = next(n for n in self.nodes if n.operation in FIRST)
        assert first.forward is not None
        whole = replace(
            first,
            operation=first.operation.removesuffix("_parameters"),
            inputs=(*first.inputs, first.forward.inputs[1]),
            outputs=(INPUT_GRADIENT, *first.outputs),
        )
        nodes = tuple(whole if n is first else n for n in self.nodes)
        made = execute((whole,), {**self.torch, **self.start}, "torch")
        return replace(
            self, nodes=nodes, torch={**self.torch, INPUT_GRADIENT: made[INPUT_GRADIENT]}
        )

    @property
    def probabilities(self) -> str:
        """The name of what the loss makes of the scores z by itself; "" if it makes nothing."""
        loss = self._loss
        return f"{loss.inputs[0]}_{APPLIED_BY[loss.operation]}" if self._applies else ""

    @property
    def _loss(self) -> Node:
        return next(n for n in self.nodes if n.outputs == ("loss",))

    @property
    def _applies(self) -> bool:
        return self._loss.operation in APPLIED_BY

    def with_probabilities(self) -> "Expected":
        """The loss takes scores and applies softmax (sigmoid) itself; many programs name what comes
        out of that."""
        loss = self._loss
        node = Node(APPLIED_BY[loss.operation], loss.inputs[:1], (self.probabilities,))
        made = execute((node,), self.torch, "torch")
        at = self.nodes.index(loss)
        nodes = (*self.nodes[:at], node, *self.nodes[at:])
        return replace(self, nodes=nodes, torch={**self.torch, **made})

    def repeated(self, mine: Sequence[Mapping[str, np.ndarray]]) -> "Expected":
        """As many steps as mine has, each from what the step before it left."""
        if len(mine) == 1:
            return self
        steps = several_steps(self.nodes, self.start, len(mine))
        return Expected(
            {**self.start, **gradients_before(mine)},
            tuple(node for step in steps for node in step),
            in_torch(steps, self.start, self.torch),
        )
