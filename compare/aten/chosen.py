"""Which modules of a model are judged: all, or those that some patterns fit."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from torch_parity.compare.aten.record import Record
from torch_parity.compare.errors import InputError, suggest

# Whether a module, by its path, is judged.
Chosen = Callable[[str], bool]
LEFT_OUT = "its module was left out"


def every_module(path: str) -> bool:
    """All are judged."""
    return True


def chosen_by(record: Record, only: Sequence[str]) -> Chosen:
    """The modules that a pattern fits (blocks.0, *.attn), with all that is inside them; all if
    there are no patterns.

    Raises:
        InputError: a pattern fits no module that made a call.
    """
    if not only:
        return every_module
    paths = sorted({call.module for call in record.calls})
    for pattern in only:
        if not any(_fits(path, pattern) for path in paths):
            known = suggest(pattern, [path for path in paths if path])
            raise InputError(f"only: {pattern!r} fits no module that made a call; {known}")
    return lambda path: any(_fits(path, pattern) for pattern in only)


def _fits(path: str, pattern: str) -> bool:
    """The module or one around it."""
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")
