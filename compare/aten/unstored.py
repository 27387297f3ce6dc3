"""What a file cannot hold, or this torch does not have: a call that needs it is not judged."""

from dataclasses import dataclass, field
from typing import Any

from torch_parity.compare.bounds.tensors import Unbounded
from torch_parity.compare.torch_private import flattened


@dataclass(frozen=True)
class Unstored:
    """In the place of an argument or result that a file cannot hold, such as a generator."""

    kind: str

    def __repr__(self) -> str:
        return f"<{self.kind}>"


@dataclass(frozen=True)
class _Schema:
    name: str
    overload_name: str
    arguments: tuple[Any, ...] = ()
    returns: tuple[Any, ...] = ()
    is_mutable: bool = False


@dataclass(frozen=True)
class Unavailable:
    """In the place of an operation that cannot be run here; reason says why."""

    name: str
    reason: str
    _schema: Any = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        space, _, rest = self.name.partition(".")
        function, _, overload = rest.rpartition(".")
        object.__setattr__(self, "_schema", _Schema(f"{space}::{function}", overload))

    def __str__(self) -> str:
        return self.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise Unbounded(self.reason)


def require_available(operation: Any, arguments: Any) -> None:
    """A call of a file can be run here.

    Raises:
        Unbounded: it cannot; the message says why.
    """
    if isinstance(operation, Unavailable):
        raise Unbounded(operation.reason)
    for x in flattened(arguments):
        if isinstance(x, Unstored):
            raise Unbounded(f"{operation}: a file cannot hold its argument, a {x.kind}")
