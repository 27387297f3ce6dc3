"""Operations that a file may name: those of torch's dispatcher that compute tensors.

A file is somebody else's. Other functions of torch.ops write files, set seeds or run scripts.
"""

import re
from functools import cache
from typing import Any

from torch_parity.compare.aten.unstored import Unavailable
from torch_parity.compare.torch_private import dispatched_overload, returns_of, written_names

SPACES = ("aten", "prims")
NAME = re.compile(r"(\w{1,60})\.(\w{1,120})\.(\w{1,120})", re.ASCII)
# These read and write a file.
FORBIDDEN = {"from_file", "save"}


@cache
def operation(name: str) -> Any:
    """The overload with a name such as aten.addmm.default; Unavailable if this torch has none, or
    if a file may not name it.

    Raises:
        ValueError: it is no name of an operation.
    """
    parts = NAME.fullmatch(name)
    if parts is None:
        raise ValueError(f"{name[:80]!r} is not the name of an operation")
    space, function, overload = parts.groups()
    if space not in SPACES:
        return Unavailable(name, f"{name}: only operations of torch itself are read from a file")
    found = None if function in FORBIDDEN else dispatched_overload(space, function, overload)
    if found is None:
        return Unavailable(name, f"{name}: this torch has no such operation")
    if not written_names(found) and not any("Tensor" in str(r.type) for r in returns_of(found)):
        return _number_of_a_tensor(name, found)
    return found


def _number_of_a_tensor(name: str, found: Any) -> Any:
    """Of the operations that return no tensor, those that read one."""
    reads = any("Tensor" in str(a.type) for a in found._schema.arguments)
    return found if reads else Unavailable(name, f"{name} computes no tensor")
