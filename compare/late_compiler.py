"""torch._dynamo, torch's compiler, imported when it is first needed.

Every optimizer of torch imports it, which takes a second, and only to say that two of its own
functions must not be compiled. Until something else of the compiler is asked for, a stand-in says
so; then the compiler itself takes its place, and is told what was said before. A user's own code
never meets the stand-in. A private interface of torch, as those in torch_private.py; this one has
to be here before torch is.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
CALLER = "torch._compile"  # for functions of torch, whose counterpart it keeps as an attribute


class LateCompiler(ModuleType):
    """Has what torch's optimizers call in every step; anything else brings the compiler in."""

    def __init__(self) -> None:
        super().__init__(COMPILER)
        self.__spec__ = ModuleSpec(COMPILER, None)
        self._disabled: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []

    def disable(self, fn: Any = None, *args: Any, **options: Any) -> Any:
        """fn itself if torch's own _compile calls, which can be told later: nothing is compiled
        yet. Any other caller may keep what disable returns, so the compiler itself makes it."""
        if self._replaced() or sys._getframe(1).f_globals.get("__name__") != CALLER:
            return self._compiler().disable(fn, *args, **options)
        self._disabled.append((fn, args, options))
        return fn

    def graph_break(self, *args: Any, **options: Any) -> None:
        """Nothing, as long as there is no graph."""
        if self._replaced():
            self._compiler().graph_break(*args, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # inspect looks at every module
            raise AttributeError(name)
        return getattr(self._compiler(), name)

    def leave(self) -> None:
        """The next import is of the compiler itself, and torch tells it again what to disable."""
        if not self._replaced():
            del sys.modules[COMPILER]
        while self._disabled:
            fn, _, _ = self._disabled.pop()
            vars(fn).pop("__dynamo_disable", None)

    def _replaced(self) -> bool:
        return sys.modules.get(COMPILER) is not self

    def _compiler(self) -> Any:
        if not self._replaced():
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


def import_compiler_as_usual() -> None:
    """From here on, for code of a user, which may import any part of the compiler, in any way."""
    late = sys.modules.get(COMPILER)
    if isinstance(late, LateCompiler):
        late.leave()
