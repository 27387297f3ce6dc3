"""How far a long judgement or training is: on a terminal, or below the cell of a notebook."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from torch_parity.compare.aten.watch import Tick, Watch, unwatched

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def on_stderr() -> Iterator[Watch]:
    """A command's bar: on standard error, if that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    with _bar(console, shown=console.is_terminal) as watch:
        yield watch


@contextmanager
def in_notebook() -> Iterator[Watch]:
    """A bar below the cell, as long as the call takes. Elsewhere there is none: a function that is
    called in a script prints nothing. rich needs ipywidgets for it, which most notebooks have."""
    if "IPython" not in sys.modules or find_spec("ipywidgets") is None:
        yield unwatched
        return
    from rich.console import Console

    console = Console()
    with _bar(console, shown=console.is_jupyter) as watch:
        yield watch


@contextmanager
def _bar(console: "Console", shown: bool) -> Iterator[Watch]:
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not shown) as bar:

        def watch(what: str, total: int | None) -> Tick:
            task = bar.add_task(what, total=total)
            return lambda: bar.advance(task)

        yield watch
