"""Models of a user's own Python file, FILE.py:NAME."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.late_compiler import import_compiler_as_usual


def made_by(where: str, seed: int) -> tuple[Any, ...]:
    """What the function FILE.py:NAME returns after torch.manual_seed(seed); one value as a tuple.

    Raises:
        InputError: there is no such file or function, it is a model itself, or it raises.
    """
    import torch

    path, colon, name = where.rpartition(":")
    if not colon or not path or not name:
        raise InputError(f"{where}: expected FILE.py:NAME, a function in a Python file")
    function = _function(_loaded(Path(path)), path, name)
    if isinstance(function, torch.nn.Module):
        raise InputError(
            f"{where} is a {type(function).__name__} that exists already; expected a function that "
            "makes it, so that it is the same after the same seed"
        )
    torch.manual_seed(seed)
    try:
        made = function()
    except Exception as error:
        raise InputError(f"{where} raised {type(error).__name__}: {error}") from error
    return made if isinstance(made, tuple) else (made,)


def described(parts: tuple[Any, ...]) -> str:
    """What came, for a message."""
    return type(parts[0]).__name__ if len(parts) == 1 else f"{len(parts)} values"


def _loaded(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: expected a Python file")
    import_compiler_as_usual()
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} raised {type(error).__name__}: {error}") from error
    return module


def _function(module: ModuleType, path: str, name: str) -> Any:
    found = getattr(module, name, None)
    if not callable(found):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise InputError(f"{path} has no function {name!r}; {suggest(name, known)}")
    return found
