"""torch's functions by name, so that a model can be told which activation or loss to use.

A name is that of a file in ops/ or losses/, or of an added operation. This file does not import
torch.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

FOLDERS = ("ops", "losses")
ADDED: dict[str, Callable[..., Any]] = {}


def find(name: str) -> Callable[..., Any]:
    """The function that makes torch's side of an operation.

    Raises:
        KeyError: there is none of that name.
    """
    if name in ADDED:
        return ADDED[name]
    for folder in FOLDERS:
        module = f"torch_parity.torch_ref.{folder}.{name}"
        if name.isidentifier() and find_spec(module):
            found: Callable[..., Any] = getattr(import_module(module), name)
            return found
    raise KeyError(f"no operation {name!r} in torch_ref/ops/ or torch_ref/losses/")


def activation(name: str, **options: Any) -> Any:
    """The activation of this name as a module, with the options that it takes."""
    make = find(name)
    return make(**{n: value for n, value in options.items() if n in signature(make).parameters})
