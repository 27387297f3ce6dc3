"""The progress of a long command, on standard error: a bar on a terminal, elsewhere a line every
few seconds. In a notebook a function shows a bar as well."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from torch_parity.compare.aten.watch import Tick, Watch

if TYPE_CHECKING:
    from torch_parity.compare.runs.training import StepRecord

EVERY = 5.0  # seconds between two lines

Tell = Callable[[str, int, int | None, str], None]
"""tell("training", 12, 500, "loss 0.31") after the 12th of 500 steps; None if the
number of steps is not known."""


@contextmanager
def progress(quiet: bool = False) -> Iterator[Tell]:
    """Shows the progress that is reported inside this block; with quiet it shows nothing."""
    console = Console(stderr=True)
    if quiet:
        yield lambda what, done, total, detail: None
    elif console.is_terminal and not console.is_dumb_terminal:
        with _bar(console) as bar:
            yield _on(bar)
    else:
        yield _in_lines(console)


def tell_step(tell: Tell, what: str, record: "StepRecord", steps: int) -> None:
    """Tell a step of a training, with torch's loss on its batch where there is one."""
    loss = record.torch.get("loss/batch")
    tell(what, record.step, steps, "" if loss is None else f"loss {loss:.4g}")


@contextmanager
def watched(quiet: bool = False) -> Iterator[Watch]:
    """The same for a judgement, which calls a function at each of its steps."""
    with progress(quiet) as tell:
        yield _watch(tell)


@contextmanager
def in_notebook() -> Iterator[Tell]:
    """Shows the progress that is reported inside this block, below the notebook's cell.

    For this, rich needs ipywidgets, which most notebooks have. Elsewhere nothing is shown: a
    function called in a script prints nothing.
    """
    console = Console()
    if console.is_jupyter and find_spec("ipywidgets"):
        with _bar(console) as bar:
            yield _on(bar)
    else:
        yield lambda what, done, total, detail: None


@contextmanager
def watched_in_notebook() -> Iterator[Watch]:
    """The same for a judgement."""
    with in_notebook() as tell:
        yield _watch(tell)


def _watch(tell: Tell) -> Watch:
    def watch(what: str, total: int | None) -> Tick:
        done = count(1)
        return lambda: tell(what, next(done), total or None, "")

    return watch


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def _on(bar: Progress) -> Tell:
    """Each activity has its own line; a finished one makes room for the next."""

    def tell(what: str, done: int, total: int | None, detail: str) -> None:
        task = next((t for t in bar.tasks if t.description == what), None)
        if task is None:
            for other in bar.task_ids:
                bar.remove_task(other)
            bar.add_task(what, total=total, completed=done, detail=detail)
        else:
            bar.update(task.id, completed=done, total=total, detail=detail)

    return tell


def _in_lines(console: Console) -> Tell:
    last = perf_counter()

    def tell(what: str, done: int, total: int | None, detail: str) -> None:
        nonlocal last
        if perf_counter() - last < EVERY:
            return
        last = perf_counter()
        step = f": {done:,} of {total:,}" if total else ""
        console.print(
            what + step + (f", {detail}" if detail else ""),
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

    return tell
