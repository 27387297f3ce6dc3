"""_foreach_add and the like: one function on each tensor of a list."""

from collections.abc import Callable
from typing import Any

import torch

from torch_parity.compare import torch_private

# of the list's own name, what one tensor is computed by
NAMES = {"norm": "linalg_vector_norm", "max": "amax", "copy": "copy", "zero": "zeros_like"}


def for_each(func: Any, name: str, called: Callable[..., Any]) -> Callable[..., Any]:
    """A rule for the lists, by what computes one tensor: called(name, ...)."""
    arguments = torch_private.arguments_of(func)
    lists = {a.name for a in arguments if str(a.type).startswith(("List[", "Optional[List["))}
    one = NAMES.get(name, name)

    def rule(*args: Any, **kwargs: Any) -> list[Any]:
        given = list(zip([a.name for a in arguments], args, strict=False))
        given += list(kwargs.items())
        (_, first), *_ = given
        many = dict.fromkeys(lists)
        results = []
        for i in range(len(first)):
            positional, named = [], {}
            for (argument, x), at in zip(given, range(len(given)), strict=True):
                item = x[i] if argument in many and x is not None else x
                if argument == "scalars" and isinstance(x, torch.Tensor):
                    item = x[i]
                if one in ("addcmul", "addcdiv") and argument in ("scalars", "value"):
                    named["value"] = item
                elif at < len(args):
                    positional.append(item)
                else:
                    named[argument] = item
            results.append(called(one, *positional, **named))
        return results

    return rule
