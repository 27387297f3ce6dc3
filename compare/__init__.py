"""The judge: builds the two sides from one case, runs them, and says whether they agree.

For code of your own: `given(case)` is what a step begins from, `check(mine, case)` judges what you
made of it, and `assert_parity` does so in a test. For torch modules: `check_modules(a, b, x)`, and
`check_module(module, mine, x)` against arrays by hand. For a function and a backward of your own:
`check_gradient(forward, backward, inputs, upstream)`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compare.case import Case
    from compare.gradients.own_gradient import check_gradient
    from compare.modules.check import check_module, check_modules
    from compare.own.layout import COURSE, Layout
    from compare.own.own_arrays import assert_parity, check
    from compare.own.start import given

__all__ = [
    "COURSE",
    "Case",
    "Layout",
    "assert_parity",
    "check",
    "check_gradient",
    "check_module",
    "check_modules",
    "given",
]


def __getattr__(name: str) -> Any:
    """Imported when asked for: torch takes a second, and the command line must not wait for it."""
    from importlib import import_module

    homes = {"COURSE": "own.layout", "Layout": "own.layout", "Case": "case", "given": "own.start"}
    homes |= {"check_module": "modules.check", "check_modules": "modules.check"}
    homes["check_gradient"] = "gradients.own_gradient"
    if name not in __all__:
        raise AttributeError(f"module 'compare' has no attribute {name!r}")
    return getattr(import_module("compare." + homes.get(name, "own.own_arrays")), name)
