"""`parity modules` and `parity model`: judge models of a user's own Python file, or recordings."""

from pathlib import Path
from typing import Any

import click

from torch_parity.compare.aten.check import check_step, check_steps
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.aten.recording import sources_of
from torch_parity.compare.aten.report import ModelReport
from torch_parity.compare.aten.step import Step
from torch_parity.compare.commands.user_file import described, made_by
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.outcome import Answer
from torch_parity.compare.show.modules_json import to_json
from torch_parity.compare.show.progress import watched

FORM = (
    "expected a model, or (model, inputs), (model, inputs, loss) or (model, inputs, loss, "
    "optimizer); loss is a function of the model's output"
)


def judge_modules(
    a: str,
    b: str,
    seed: int,
    ignored: tuple[str, ...],
    keep: Path | None,
    as_json: bool,
    quiet: bool,
) -> Answer:
    """Judge two models and print the report -> the answer.

    Raises:
        InputError: a file, its function or what that returns cannot be used.
    """
    with watched(quiet) as watch:
        first, second = sources_of(*(step_of(where, seed, keep) for where in (a, b)))
        report = check_steps(first, second, {}, ignored, watch=watch)
    return _show(report, as_json)


def judge_model(
    model: str,
    seed: int,
    keep: Path | None,
    only: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> Answer:
    """Judge each call of one model and print the report -> the answer.

    Raises:
        InputError: as of judge_modules.
    """
    with watched(quiet) as watch:
        (source,) = sources_of(step_of(model, seed, keep))
        report = check_step(source, watch, only)
    return _show(report, as_json)


def _show(report: ModelReport | ModulesReport, as_json: bool) -> Answer:
    click.echo(to_json(report) if as_json else report.verdict)
    return report.outcome


def step_of(where: str, seed: int, keep: Path | None = None) -> Step:
    """The step that a function of a user's file describes; of a recording, its file as the
    model."""
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
