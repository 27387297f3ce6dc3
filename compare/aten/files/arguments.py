"""Arguments of calls as JSON. A tensor is {"tensor": its number in the list of tensors}."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import torch

from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.unstored import Unstored

Number = Callable[[TensorRef], int]
# By name, as str() has them without "torch.".
KINDS: dict[str, type] = {
    "dtype": torch.dtype,
    "layout": torch.layout,
    "memory_format": torch.memory_format,
}
NAMED: dict[str, dict[str, Any]] = {
    kind: {str(v).removeprefix("torch."): v for v in vars(torch).values() if isinstance(v, cls)}
    for kind, cls in KINDS.items()
}


def written(value: Any, number: Number) -> Any:
    """A nested argument as JSON."""
    if isinstance(value, TensorRef):
        return {"tensor": number(value)}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, complex):
        return {"complex": [repr(value.real), repr(value.imag)]}
    if isinstance(value, tuple):
        return {"tuple": [written(part, number) for part in value]}
    if isinstance(value, list):
        return [written(part, number) for part in value]
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {"dict": {key: written(part, number) for key, part in value.items()}}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    for kind, cls in KINDS.items():
        if isinstance(value, cls):
            return {kind: str(value).removeprefix("torch.")}
    return {"unstored": type(value).__name__}


def read(value: Any, tensors: list[TensorRef]) -> Any:
    """The argument again, with an Unstored for what the file could not hold.

    Raises:
        ValueError: it is not what `written` writes.
    """
    if isinstance(value, list):
        return [read(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError(f"an argument has {len(value)} kinds, expected one")
    ((kind, content),) = value.items()
    return _of_kind(kind, content, tensors)


def _of_kind(kind: str, content: Any, tensors: list[TensorRef]) -> Any:
    if kind == "tensor" and type(content) is int and 0 <= content < len(tensors):
        return tensors[content]
    if kind == "tuple" and isinstance(content, list):
        return tuple(read(part, tensors) for part in content)
    if kind == "dict" and isinstance(content, dict):
        return {key: read(part, tensors) for key, part in content.items()}
    if kind == "complex" and isinstance(content, list) and len(content) == 2:
        return complex(*(_number(part) for part in content))
    if isinstance(content, str) and content.isprintable():
        if kind == "float":
            return _number(content)
        if kind == "device":
            return _device(content)
        if kind == "unstored":
            return Unstored(content[:80])
        if content in NAMED.get(kind, {}):
            return NAMED[kind][content]
    raise ValueError(f"{str({kind: content})[:80]} is not an argument")


def _number(text: Any) -> float:
    if not isinstance(text, str) or len(text) > 40:
        raise ValueError(f"{str(text)[:40]!r} is not a number")
    return float(text)


def _device(text: str) -> torch.device:
    try:
        return torch.device(text)
    except RuntimeError:
        raise ValueError(f"{text[:40]!r} is not a device") from None
