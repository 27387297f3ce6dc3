"""`parity modules` and `parity model`: judge models of a user's own Python file.

The answer is the exit status: 0 PASS, 1 FAIL, 2 bad input, 3 UNJUDGED.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.judge.outcome import STATUS

if TYPE_CHECKING:
    from torch_parity.compare.aten.reports import ModelReport, ModulesReport
    from torch_parity.compare.aten.step import Step
    from torch_parity.compare.aten.watch import Watch

FORM = (
    "expected a model, or (model, inputs), (model, inputs, loss) or (model, inputs, loss, "
    "optimizer); loss is a function of the model's output"
)


@click.command(short_help="Judge whether two torch models agree.")
@click.argument("a", metavar="FILE.py:A")
@click.argument("b", metavar="FILE.py:B")
@click.option("--seed", type=int, default=0, show_default=True, help="torch.manual_seed of both.")
@click.option(
    "--ignore",
    "ignored",
    metavar="NAME",
    multiple=True,
    help="Leave out a result of b (loss, 'head.*'); may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def modules(a: str, b: str, seed: int, ignored: tuple[str, ...], as_json: bool) -> None:
    """Judge whether two models compute the same: forward, backward and update.

    A and B are functions in Python files that return (model, inputs), (model, inputs, loss) or
    (model, inputs, loss, optimizer). The exit status is 0 if the two agree, 1 if they do not, 2 for
    bad input, 3 if nothing is wrong but not everything could be judged.
    """
    from torch_parity.compare.aten.check import check_steps

    with _bar() as watch:
        first, second = (_step(where, seed) for where in (a, b))
        report = check_steps(first, second, {}, ignored, watch=watch)
    _answer(report, as_json)


@click.command(short_help="Judge each operation of a torch model.")
@click.argument("model", metavar="FILE.py:MODEL")
@click.option("--seed", type=int, default=0, show_default=True, help="torch.manual_seed.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def model(model: str, seed: int, as_json: bool) -> None:
    """Judge every ATen call of one model, each on the inputs that it had.

    MODEL is a function in a Python file, as for `parity modules`. The exit status is 0 if every
    call is right, 1 if one is not, 2 for bad input, 3 if nothing is wrong but not everything could
    be judged.
    """
    from torch_parity.compare.aten.check import check_step

    with _bar() as watch:
        report = check_step(_step(model, seed), watch=watch)
    _answer(report, as_json)


def _answer(report: "ModelReport | ModulesReport", as_json: bool) -> None:
    if as_json:
        from torch_parity.compare.show.modules_json import to_json

        click.echo(to_json(report))
    else:
        click.echo(report.verdict)
    sys.exit(STATUS[report.outcome])


@contextmanager
def _bar() -> Iterator["Watch"]:
    """A progress bar on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:

        def watch(what: str, total: int) -> Any:
            task = bar.add_task(what, total=total)
            return lambda: bar.advance(task)

        yield watch


def _step(where: str, seed: int) -> "Step":
    """The step that a function of a user's file describes."""
    import torch

    from torch_parity.compare.aten.step import Step

    path, colon, name = where.rpartition(":")
    if not colon or not path or not name:
        raise InputError(f"{where}: expected FILE.py:NAME, a function in a Python file")
    function = _function(_loaded(Path(path)), path, name)
    torch.manual_seed(seed)
    try:
        made = function()
    except Exception as error:
        raise InputError(f"{where} raised {type(error).__name__}: {error}") from error
    parts = made if isinstance(made, tuple) else (made,)
    if not 1 <= len(parts) <= 4 or not callable(parts[0]):
        raise InputError(f"{where} returned {type(made).__name__}; {FORM}")
    whole: list[Any] = [*parts, *[None] * (4 - len(parts))]
    network, inputs, loss, optimizer = whole
    if inputs is None:
        inputs = ()
    elif isinstance(inputs, dict):
        return Step(network, (), inputs, loss, None, optimizer, name)
    return Step(
        network, inputs if isinstance(inputs, tuple) else (inputs,), {}, loss, None, optimizer, name
    )


def _loaded(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: expected a Python file")
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
