"""Which names a field of a case may have, as the register knows them, and how they are written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch_parity.compare.errors import nearest
from torch_parity.compare.models import model_names
from torch_parity.compare.register import OPERATIONS, OPTIMIZERS, SCHEDULES, of_kind


@dataclass(frozen=True)
class OneOf:
    """Text that must be one of the names which the register has."""

    names: Callable[[], Sequence[str]]

    def check(self, value: str) -> str:
        """The value, if it is one of them."""
        if value not in self.names():
            raise ValueError(one_of(value, self.names()))
        return value


def one_of(value: str, names: Sequence[str]) -> str:
    """What a value should be that is none of the names."""
    near = nearest(value, names)
    listed = [repr(name) for name in names]
    expected = f"{', '.join(listed[:-1])} or {listed[-1]}"
    return f"did you mean {near!r}? It should be {expected}" if near else f"expected {expected}"


def activations() -> tuple[str, ...]:
    """Every activation of the register."""
    return of_kind("activation")


def losses() -> tuple[str, ...]:
    """Every loss of the register that reads a model's output and the labels y."""
    return tuple(name for name in of_kind("loss") if OPERATIONS[name].inputs[1:] == ("y",))


MODEL = OneOf(model_names)
ACTIVATION = OneOf(activations)
OUTPUT = OneOf(lambda: (*activations(), "auto"))
LOSS = OneOf(lambda: (*losses(), "auto"))
OPTIMIZER = OneOf(lambda: tuple(OPTIMIZERS))
SCHEDULE = OneOf(lambda: ("constant", *SCHEDULES))


# The losses of numbers to predict; of classes they take a number for each, 0 or 1.
OF_NUMBERS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def outputs_of(loss: str) -> tuple[str, ...]:
    """The output activations that fit a loss, the usual one first: none for a loss of raw scores
    (z), a probability for one of probabilities, any for one of numbers."""
    if OPERATIONS[loss].inputs[0] == "z":
        return ("identity",)
    if loss == "binary_cross_entropy":
        return ("sigmoid", "softmax")
    return ("identity", *(name for name in activations() if name != "identity"))


def widths(value: Any) -> Any:
    """Widths as a command line writes them: 128,64 or nothing for no hidden layer."""
    if isinstance(value, int):
        raise ValueError(f"expected several whole numbers, such as ({value},) or ({value}, 4)")
    if not isinstance(value, str):
        return value
    found = [width.strip() for width in value.split(",")] if value.strip() else []
    if not all(width.lstrip("+-").isdecimal() for width in found):
        raise ValueError("expected whole numbers with commas between, such as 5,4")
    return found


def listed(value: Any) -> Any:
    """Several names as a command line writes them: relu,tanh."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def each(one_of: OneOf) -> Callable[[str], str]:
    """A check of several names with commas between."""

    def check(value: str) -> str:
        names = [name.strip() for name in value.split(",")]
        return ",".join(one_of.check(name) for name in names)

    return check
