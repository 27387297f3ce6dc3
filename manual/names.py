"""What the tensors of a step are called: in the course's way, or by torch's module paths."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """gradient(z) is the gradient of the cost for the tensor z; loss_gradient(W) is the part of W's
    gradient that comes from the loss alone, where there is a penalty; slot(v, W) is what an
    optimizer remembers of W."""

    gradient: Callable[[str], str]
    loss_gradient: Callable[[str], str]
    slot: Callable[[str, str], str]


# z1, dz1, dW1, dW1_loss, vW1
COURSE = Names(
    lambda name: f"d{name}", lambda name: f"d{name}_loss", lambda slot, name: f"{slot}{name}"
)

# blocks.0.fc1, blocks.0.fc1.grad, blocks.0.fc1.weight.grad, blocks.0.fc1.weight.v
MODULE_PATHS = Names(
    lambda name: f"{name}.grad",
    lambda name: f"{name}.loss.grad",
    lambda slot, name: f"{name}.{slot}",
)


def of_micro_batch(name: str, k: int) -> str:
    """What a tensor of micro-batch k is called: z1_m0."""
    return f"{name}_m{k}"


def unclipped(name: str) -> str:
    """What a gradient is called before it is clipped: dW1_unclipped."""
    return f"{name}_unclipped"
