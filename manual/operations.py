"""The hand-written functions by name, so that a model can be told which activation or loss to use.

A name is that of a file in ops/ or losses/, or of any @operation that has been imported.
"""

import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from torch_parity.manual.recording import HOMES, option_names

Function = Callable[..., np.ndarray]
FOLDERS = ("ops", "losses")


def find(name: str) -> tuple[Function, Function]:
    """(forward, backward) of an operation.

    Raises:
        KeyError: there is none of that name.
    """
    module = sys.modules[HOMES[name] if name in HOMES else _imported(name)]
    return getattr(module, name), getattr(module, name + "_backward")


@cache
def _imported(name: str) -> str:
    for folder in FOLDERS:
        module = f"torch_parity.manual.{folder}.{name}"
        if name.isidentifier() and find_spec(module):
            return import_module(module).__name__
    raise KeyError(f"no operation {name!r} in manual/ops/ or manual/losses/")


def activation(name: str, **options: Any) -> tuple[Function, Function]:
    """(forward, backward) of an activation by name, with those of the options that it takes."""
    forward, backward = find(name)
    taken = {n: value for n, value in options.items() if n in option_names(forward)}
    if not taken:
        return forward, backward
    return partial(forward, **taken), partial(backward, **taken)
