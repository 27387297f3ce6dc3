"""`parity check`: a few steps of any case, every operation of each replayed, the whole report."""

import dataclasses
import json
from typing import Any

from rich.console import Console

from compare import data, pair, report, threads, training
from compare.case import Case
from compare.judge import Judgement
from compare.numbers import plain
from compare.report import show_case, show_judgement
from compare.training import StepRecord


def run(case: Case, as_json: bool) -> bool:
    """Judge every step closely; report the first that fails, else the last -> whether all passed.

    Raises:
        InputError: the case or its data cannot be used.
    """
    console = Console()
    with threads.limited(case.threads):
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        last: StepRecord | None = None
        for last in training.train(case, loaded, sides):
            if not last.judgement.passed:
                break
    assert last is not None, "a case has at least one step"
    if as_json:
        console.print_json(to_json(last.step, last.judgement))
    else:
        show_case(console, case, loaded, sides)
        report.show_step(console, last.step, case.steps)
        show_judgement(console, last.judgement)
        report.show_cost(console, last)
    return last.judgement.passed


def to_json(step: int, j: Judgement) -> str:
    """The judgement for machines: no callables, and null for what is no number."""
    record: dict[str, Any] = {
        "passed": j.passed,
        "step": step,
        "wrong_sides": list(j.wrong_sides),
        "last_agreeing": j.last_agreeing,
        "consequences": list(j.consequences),
        "root": dataclasses.asdict(j.root) if j.root else None,
        "causes": {
            side: {
                "verdict": d.verdict,
                "alternatives": [
                    [{"name": e.cause.name, "tensors": list(e.tensors)} for e in a]
                    for a in d.alternatives
                ],
                "unexplained": list(d.unexplained),
            }
            for side, d in j.diagnoses.items()
        },
        "differences": [dataclasses.asdict(d) for d in j.differences],
        "replays": {side: [dataclasses.asdict(r) for r in rs] for side, rs in j.replays.items()},
    }
    return json.dumps(plain(record))
