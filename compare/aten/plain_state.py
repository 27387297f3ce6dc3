"""State that a module keeps in what torch knows nothing of: NumPy arrays, lists and dicts of
anything, objects of the program's own classes (a RunningMeanStd). It is put back after a step, and
not compared.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# These hold no state of the module's own, or torch puts it back.
OTHERS = (
    nn.Module, torch.optim.Optimizer, torch.Generator, torch.dtype, torch.device, type,
    FunctionType, MethodType, ModuleType,
)  # fmt: skip
Restore = Callable[[], None]


def plain_state(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Any]]:
    """Name in the model, the module, name there, and value of each attribute that may hold some."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and _may_change(value):
                yield f"{path}.{name}".lstrip("."), module, name, value


def _may_change(value: Any) -> bool:
    if isinstance(value, (Tensor, *OTHERS)):
        return False
    return isinstance(value, np.ndarray | list | dict | set) or _is_object(value)


def _is_object(value: Any) -> bool:
    return isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, OTHERS)


def remembered(value: Any, known: set[int]) -> Restore:
    """What puts the value back as it is now, and all that is in it."""
    if id(value) in known or not (isinstance(value, Tensor) or _may_change(value)):
        return lambda: None
    known.add(id(value))
    if isinstance(value, Tensor):
        return _of_tensor(value)
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if isinstance(value, set):
        return _of_set(value)
    inside = value if isinstance(value, list | dict) else vars(value)
    content = inside.copy()
    parts = content.values() if isinstance(content, dict) else content
    within = [remembered(part, known) for part in parts]

    def restore() -> None:
        inside.clear()
        inside.extend(content) if isinstance(inside, list) else inside.update(content)
        for part in within:
            part()

    return restore


def _of_set(value: set[Any]) -> Restore:
    members = set(value)

    def restore() -> None:
        value.clear()
        value.update(members)

    return restore


def _of_tensor(value: Tensor) -> Restore:
    was = value.detach().clone()

    def restore() -> None:
        with torch.no_grad():
            if not torch.equal(value, was):
                value.copy_(was)

    return restore


def _of_array(value: np.ndarray) -> Restore:
    was = value.copy()

    def restore() -> None:
        if value.flags.writeable:
            value[...] = was

    return restore


def fingerprint(value: Any) -> bytes:
    """Of the value and all that is in it; another one where any number is another."""
    found = blake2b()
    _feed(value, found.update, set())
    return found.digest()


def _feed(value: Any, feed: Callable[[bytes], None], known: set[int]) -> None:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, np.ndarray):
        feed(f"{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, bool | int | float | complex | str | bytes | type(None)):
        feed(repr(value).encode())
    elif id(value) in known:
        feed(b"again")
    elif isinstance(value, list | tuple | dict | set) or _is_object(value):
        known.add(id(value))
        feed(type(value).__name__.encode())
        inside = value if isinstance(value, list | tuple | dict | set) else vars(value)
        if isinstance(inside, set):
            inside = sorted(inside, key=repr)
        for part in inside.items() if isinstance(inside, dict) else inside:
            _feed(part, feed, known)
    else:
        feed(type(value).__qualname__.encode())
