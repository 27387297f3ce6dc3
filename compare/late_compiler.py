"""torch._dynamo, torch's compiler, imported when it is first needed.

Every optimizer of torch imports it, which takes a second, only to mark two of its own functions as
never to be compiled. A stand-in keeps a list of these functions. At the first use of anything else
the compiler itself is imported, replaces the stand-in and marks the functions of the list. A user's
own code runs without the stand-in. This uses a private interface of torch, as
torch_private.py does; it is in a file of its own because it must run before torch is imported.
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
    """Has what torch's optimizers call in every step. Anything else imports the compiler."""

    def __init__(self) -> None:
        super().__init__(COMPILER)
        self.__spec__ = ModuleSpec(COMPILER, None)
        self._disabled: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []

    def disable(self, fn: Any = None, *args: Any, **options: Any) -> Any:
        """fn itself if torch's own _compile calls: nothing is compiled yet, and fn can be marked
        later. Any other caller may keep what disable returns, so the compiler itself makes it."""
        if self._replaced() or sys._getframe(1).f_globals.get("__name__") != CALLER:
            return self._compiler().disable(fn, *args, **options)
        self._disabled.append((fn, args, options))
        return fn

    def graph_break(self, *args: Any, **options: Any) -> None:
        """Does nothing while nothing is compiled."""
        if self._replaced():
            self._compiler().graph_break(*args, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # inspect looks at every module
            raise AttributeError(name)
        return getattr(self._compiler(), name)

    def leave(self) -> None:
        """Let the next import be that of the compiler, which then marks the functions anew."""
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
    """Install the stand-in, unless torch or its compiler has been imported already."""
    if COMPILER not in sys.modules and "torch" not in sys.modules:
        sys.modules[COMPILER] = LateCompiler()


def import_compiler_as_usual() -> None:
    """Remove the stand-in: a user's code may import any part of the compiler, in any way."""
    late = sys.modules.get(COMPILER)
    if isinstance(late, LateCompiler):
        late.leave()
