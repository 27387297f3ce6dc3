"""`parity check`: judge a few steps of a case, replay every operation, show the whole report."""

from rich.console import Console

from torch_parity.compare import data, threads
from torch_parity.compare.case import Case
from torch_parity.compare.judge.outcome import Answer
from torch_parity.compare.runs import training
from torch_parity.compare.runs.training import StepRecord
from torch_parity.compare.show import terminal
from torch_parity.compare.show.judgement_json import to_json
from torch_parity.compare.show.progress import progress, tell_step
from torch_parity.compare.show.terminal import (
    show_case,
    show_judgement,
    show_judgement_verdict,
)
from torch_parity.compare.sources import pair


def check_case(case: Case, as_json: bool, quiet: bool) -> Answer:
    """Judge every step; report the first that fails, else the last -> the answer.

    Raises:
        InputError: the case or its data cannot be used.
    """
    console = Console()
    with threads.limited(case.threads):
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        last: StepRecord | None = None
        with progress(quiet) as tell:
            for last in training.Training(case, loaded, sides):
                tell_step(tell, "judging", last, case.steps)
                if not last.passed:
                    break
    assert last is not None, "a case has at least one step"
    if as_json:
        answer = {"outcome": last.outcome, "passed": last.passed}
        console.print_json(to_json(last.judgement, step=last.step, **answer))
    elif quiet:
        show_judgement_verdict(console, last.judgement)
        terminal.show_lost(console, last)
    else:
        show_case(console, case, loaded, sides)
        terminal.show_step(console, last.step, case.steps)
        show_judgement(console, last.judgement)
        if last.passed and last.step > 1:
            console.print(f"Each of the {last.step} steps passed; the table shows the last.")
        terminal.show_lost(console, last)
        terminal.show_cost(console, last)
    return last.outcome
