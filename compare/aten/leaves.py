"""What nested outputs hold, by name."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

PLAIN = (bool, int, float, complex, str, type(None))


def leaves_of(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor, array, number and string in nested tuples, lists, dicts and dataclasses:
    name, name.0, name.key..."""
    if isinstance(value, (Tensor, np.ndarray, *PLAIN)):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves_of(f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from leaves_of(f"{name}.{i}", item)
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from leaves_of(f"{name}.{f.name}", getattr(value, f.name))
    else:
        yield name, value
