"""The rules of ATen's functions, by name."""

from collections.abc import Callable
from typing import Any

RULES: dict[str, Callable[..., Any]] = {}


def rule(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """For the functions of these names, whichever overload (or for one: "max.dim").

    A rule takes what the ATen function takes. It returns what that returns, and after it the new
    content of what that writes, in the order of its arguments.
    """

    def put(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            if name in RULES:
                raise ValueError(f"two rules for {name}")
            RULES[name] = function
        return function

    return put
