"""torch._dynamo, torch's compiler, imported when it is first needed.

Every optimizer of torch imports it, which takes a second, and only to say that two of its own
functions must not be compiled. Until something else of the compiler is asked for, a stand-in says
so; then the compiler itself takes its place, and is told what was said before. A private interface
of torch, as those in torch_private.py; this one has to be here before torch is.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"


class LateCompiler(ModuleType):
    """Has what torch's optimizers call in every step; anything else brings the compiler in."""

    def __init__(self) -> None:
        super().__init__(COMPILER)
        self.__spec__ = ModuleSpec(COMPILER, None)
        self._disabled: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []

    def disable(self, fn: Any = None, *args: Any, **options: Any) -> Any:
        """fn itself: nothing is compiled yet."""
        if not callable(fn) or isinstance(fn, type):
            return self._compiler().disable(fn, *args, **options)
        self._disabled.append((fn, args, options))
        return fn

    def graph_break(self, *_: Any, **__: Any) -> None:
        """Nothing: there is no graph yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # inspect looks at every module
            raise AttributeError(name)
        return getattr(self._compiler(), name)

    def _compiler(self) -> Any:
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        compiler = import_module(COMPILER)
        while self._disabled:
            fn, args, options = self._disabled.pop()
            _disabled_by(compiler, fn, *args, **options)
        return compiler


def _disabled_by(compiler: Any, fn: Any, *args: Any, **options: Any) -> None:
    """torch._compile keeps what disable returns where the function itself is kept."""
    fn.__dynamo_disable = compiler.disable(fn, *args, **options)


def import_compiler_late() -> None:
    """From here on; nothing if torch or its compiler has been imported."""
    if COMPILER not in sys.modules and "torch" not in sys.modules:
        sys.modules[COMPILER] = LateCompiler()
