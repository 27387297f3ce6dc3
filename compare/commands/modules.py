"""`parity modules` and `parity model`: judge models of a user's own Python file, or recordings.

The answer is the exit status: 0 PASS, 1 FAIL, 2 bad input, 3 UNJUDGED.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torch_parity.compare.commands.options import IGNORED_RESULTS, JSON, KEEP, SEED_OF_BOTH
from torch_parity.compare.commands.user_file import described, made_by
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.outcome import STATUS
from torch_parity.compare.show import progress_bar

if TYPE_CHECKING:
    from torch_parity.compare.aten.reports import ModelReport, ModulesReport
    from torch_parity.compare.aten.step import Step

FORM = (
    "expected a model, or (model, inputs), (model, inputs, loss) or (model, inputs, loss, "
    "optimizer); loss is a function of the model's output"
)


@click.command(short_help="Judge whether two torch models agree.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@SEED_OF_BOTH
@IGNORED_RESULTS
@KEEP
@JSON
def modules(
    a: str, b: str, seed: int, ignored: tuple[str, ...], keep: Path | None, as_json: bool
) -> None:
    """Judge whether two models compute the same: forward, backward and update.

    A and B are functions in Python files, FILE.py:NAME, that return (model, inputs), (model,
    inputs, loss) or (model, inputs, loss, optimizer); or files of `parity record --module`. The
    exit status is 0 if the two agree, 1 if they do not, 2 for bad input, 3 if nothing is wrong but
    not everything could be judged.
    """
    from torch_parity.compare.aten.check import check_steps
    from torch_parity.compare.aten.recording import sources_of

    with progress_bar.on_stderr() as watch:
        first, second = sources_of(*(step_of(where, seed, keep) for where in (a, b)))
        report = check_steps(first, second, {}, ignored, watch=watch)
    _answer(report, as_json)


@click.command(short_help="Judge each operation of a torch model.")
@click.argument("model", metavar="MODEL")
@click.option("--seed", type=int, default=0, show_default=True, help="torch.manual_seed.")
@KEEP
@click.option(
    "--only",
    metavar="MODULE",
    multiple=True,
    help="Judge only this module (blocks.0, '*.attn') and what is inside it; may be repeated.",
)
@JSON
def model(model: str, seed: int, keep: Path | None, only: tuple[str, ...], as_json: bool) -> None:
    """Judge every ATen call of one model, each on the inputs that it had.

    MODEL is a function in a Python file, FILE.py:NAME, or a file of `parity record --module`, as
    for `parity modules`. The exit status is 0 if every call is right, 1 if one is not, 2 for bad
    input, 3 if nothing is wrong but not everything could be judged.
    """
    from torch_parity.compare.aten.check import check_step
    from torch_parity.compare.aten.recording import sources_of

    with progress_bar.on_stderr() as watch:
        (source,) = sources_of(step_of(model, seed, keep))
        report = check_step(source, watch, only)
    _answer(report, as_json)


def _answer(report: "ModelReport | ModulesReport", as_json: bool) -> None:
    if as_json:
        from torch_parity.compare.show.modules_json import to_json

        click.echo(to_json(report))
    else:
        click.echo(report.verdict)
    sys.exit(STATUS[report.outcome])


def step_of(where: str, seed: int, keep: Path | None = None) -> "Step":
    """The step that a function of a user's file describes; of a recording, its file as the
    model."""
    from torch_parity.compare.aten.step import Step

    file = Path(where)
    if file.suffix == ".safetensors" or (file.suffix != ".py" and file.is_file()):
        return Step(file, called=file.stem)
    parts = made_by(where, seed)
    if not 1 <= len(parts) <= 4 or not callable(parts[0]):
        raise InputError(f"{where} returned {described(parts)}; {FORM}")
    whole: list[Any] = [*parts, *[None] * (4 - len(parts))]
    network, inputs, loss, optimizer = whole
    name = where.rpartition(":")[2]
    keywords = inputs if isinstance(inputs, dict) else {}
    if inputs is None or isinstance(inputs, dict):
        inputs = ()
    elif not isinstance(inputs, tuple):
        inputs = (inputs,)
    return Step(network, inputs, keywords, loss, None, optimizer, name, keep)
