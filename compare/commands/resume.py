"""`parity train --resume NAME`: continue the case from the newest undamaged checkpoint."""

import json
from pathlib import Path

from rich.markup import escape

from torch_parity.compare import case as cases
from torch_parity.compare import data, progress, threads
from torch_parity.compare.case import Case
from torch_parity.compare.commands.train import TrainingRun, write_case
from torch_parity.compare.commands.train_output import Output
from torch_parity.compare.errors import InputError
from torch_parity.compare.gradients.train_gradcheck import Gradchecks
from torch_parity.compare.judge.outcome import STATUS
from torch_parity.compare.runs import folder as runs
from torch_parity.compare.runs.answers import verdict_of_training
from torch_parity.compare.runs.lock import RunLock
from torch_parity.compare.runs.made_with import changes, made_with
from torch_parity.compare.show import terminal
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.schedule import can_be_longer


def resume_run(name: str, root: Path, asked: Case, gradcheck: int | None, output: Output) -> int:
    """Resume the run root/name -> the exit status, as for train_case (train.py). Of a finished run
    it is that of its verdict.

    asked holds the options of the command line. They must be those that the run began with;
    only the number of steps may be larger.

    Raises:
        InputError: there is no such run, it is being trained, the options differ, or every
            checkpoint is damaged.
    """
    folder = runs.find(root, name)
    runs.refuse_links(folder)
    _refuse_never_begun(folder)
    begun = cases.load(folder / "case.toml")
    case = _longer(begun, asked)
    for field in asked.model_fields_set:
        _refuse_change(name, field, getattr(case, field), getattr(asked, field))
    with RunLock(folder) as lock, threads.limited(case.threads):
        if case == begun and (status := _stored_verdict(folder, case, output)) is not None:
            return status
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        found = progress.find(folder, case, loaded, sides)
        if gradcheck is not None:
            checked = found.progress.gradchecks
            every = checked.every if checked else None
            _refuse_change(name, "gradcheck", every, gradcheck)
        if case != begun:
            write_case(lock, case)
        with lock.writing():
            was = progress.rewind(folder, found)
        notes = list(was.notes)
        if changed := changes(was.made_with, made_with()):
            notes.append(
                f"after step {found.state.step} this run was resumed with {', '.join(changed)}: "
                "later steps may differ, by rounding, from those of a run that was not stopped"
            )
        terminal.show_case(output.report, case, loaded, sides)
        terminal.show_resumed(
            output.report, found.state.step, case, (*found.refused, *found.damaged.values())
        )
        exactly = Gradchecks(sides.manual.net, was.gradchecks) if was.gradchecks else None
        return TrainingRun(
            case,
            loaded,
            sides,
            lock,
            was.tally,
            exactly,
            output,
            start=found.state,
            seconds=was.seconds,
            notes=tuple(notes),
            logs=was.logs,
            lengthened=was.case != case,
        ).train()


def _longer(case: Case, asked: Case) -> Case:
    """The case with as many steps as are asked for, if these are more."""
    if "steps" not in asked.model_fields_set or asked.steps <= case.steps:
        return case
    if not can_be_longer(case):
        raise InputError(
            f"--steps: the learning rate of {case.schedule} falls until the last of {case.steps} "
            "steps, so a longer training has different first steps: start a new run under another "
            "--name"
        )
    return case.model_copy(update={"steps": asked.steps})


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


def _stored_verdict(folder: Path, case: Case, output: Output) -> int | None:
    """Show the verdict of a run that was finished -> its exit status; None for any other run.

    A supervisor that starts a killed run again until it ends needs the status of its end. A summary
    that cannot be read does not count: the run writes a new one.
    """
    try:
        if json.loads((folder / "summary.json").read_bytes())["interrupted"]:
            return None
        answer, headline, words = verdict_of_training(folder, case.steps)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    if answer not in STATUS:
        return None
    output.report.print(
        f"run {folder.name!r} is finished: no step is left"
        + (f"; --steps, more than {case.steps}, trains further" if can_be_longer(case) else ""),
        highlight=False,
        soft_wrap=True,
    )
    for line in (f"{answer} {headline}", *words):
        output.verdict.print(escape(line), highlight=False, soft_wrap=True)
    output.show_json(folder)
    return STATUS[answer]
