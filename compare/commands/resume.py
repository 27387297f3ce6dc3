"""`parity train --resume NAME`: continue the case from the newest undamaged checkpoint."""

import json
from pathlib import Path

from rich.console import Console

from torch_parity.compare import case as cases
from torch_parity.compare import data, progress, threads
from torch_parity.compare.case import Case
from torch_parity.compare.commands.train import TrainingRun
from torch_parity.compare.errors import InputError
from torch_parity.compare.gradients.train_gradcheck import Gradchecks
from torch_parity.compare.runs import folder as runs
from torch_parity.compare.runs.lock import RunLock
from torch_parity.compare.runs.made_with import changes, made_with
from torch_parity.compare.show import terminal
from torch_parity.compare.sources import pair


def resume_run(name: str, root: Path, asked: Case, gradcheck: int | None = None) -> int:
    """Resume the run root/name -> the exit status, as for compare.commands.train.train_case.

    asked holds the options of the command line, which may only repeat those the run began with.

    Raises:
        InputError: there is no such run, it is finished or being trained, the options differ, or
            every checkpoint is damaged.
    """
    folder = runs.find(root, name)
    _refuse_never_begun(folder)
    case = cases.load(folder / "case.toml")
    for field in asked.model_fields_set:
        _refuse_change(name, field, getattr(case, field), getattr(asked, field))
    with RunLock(folder) as lock, threads.limited(case.threads):
        _refuse_finished(folder)
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        found = progress.find(folder, case, loaded)
        was = found.progress
        if gradcheck is not None:
            every = was.gradchecks.every if was.gradchecks else None
            _refuse_change(name, "gradcheck", every, gradcheck)
        with lock.writing():
            progress.rewind(folder, found)
        notes = list(was.notes)
        if changed := changes(was.made_with, made_with()):
            notes.append(
                f"after step {found.state.step} this run was resumed with {', '.join(changed)}: "
                "later steps may differ, by rounding, from those of a run that was not stopped"
            )
        console = Console()
        terminal.show_case(console, case, loaded, sides)
        terminal.show_resumed(console, found.state.step, case, found.refused)
        exactly = Gradchecks(sides.manual.net, was.gradchecks) if was.gradchecks else None
        return TrainingRun(
            case,
            loaded,
            sides,
            lock,
            was.tally,
            exactly,
            start=found.state,
            seconds=was.seconds,
            notes=tuple(notes),
            logs=was.logs,
        ).train(console)


def _refuse_change(name: str, field: str, was: object, now: object) -> None:
    if was != now:
        raise InputError(
            f"--{field.replace('_', '-')} is {now!r}, but run {name!r} began with {was!r}: leave "
            "the option out to resume, or start a new run under another --name"
        )


def _refuse_never_begun(folder: Path) -> None:
    if not (folder / "case.toml").exists():
        raise InputError(
            f"{folder} holds no case.toml, so there is nothing to resume: it is not a training, or "
            "was stopped before the first step\n"
            f"start again under another --name, or delete {folder} first"
        )


def _refuse_finished(folder: Path) -> None:
    """A summary that cannot be read does not count: the run writes a new one."""
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        finished = not summary["interrupted"]
    except (OSError, ValueError, LookupError, TypeError):
        return
    if finished:
        raise InputError(
            f"run {folder.name!r} is finished, so there is nothing to resume: all its "
            f"{summary['steps']} steps are in {folder / 'summary.json'}"
        )
