"""`parity train`: everything is checked before the run's folder exists, then data flows one way."""

from contextlib import closing
from pathlib import Path
from time import perf_counter

import tomli_w
from rich.console import Console
from rich.progress import track

from compare import data, pair, threads, training
from compare.case import Case
from compare.gradients import train_gradcheck
from compare.reports import runs, terminal
from compare.reports.dashboard import Dashboard
from compare.reports.summary import Tally


def run(case: Case, name: str | None, root: Path, gradcheck: int | None = None) -> bool:
    """Train, log, report -> whether every tensor of every step agreed.

    gradcheck, where given, also holds every so many steps' gradients to the exact ones.

    Raises:
        InputError: the case, its data or the run's folder cannot be used.
    """
    console = Console()
    with threads.limited(case.threads):
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        exactly = train_gradcheck.prepare(sides.manual.net, gradcheck, case.steps, case.dtype)
        folder = runs.create(root, name, default=Path(case.data).stem)
        (folder / "case.toml").write_text(tomli_w.dumps(case.model_dump(exclude_none=True)))
        terminal.show_case(console, case, loaded, sides)
        tally = Tally(training.score_name(loaded), case.base_error)
        with closing(Dashboard(folder)) as dashboard:
            began = perf_counter()
            steps = training.Training(case, loaded, sides, exactly)
            for record in track(
                steps,
                "training both sides",
                total=case.steps,
                console=Console(stderr=True),
                transient=True,
            ):
                dashboard.write(record)
                tally.add(record)
        whole = perf_counter() - began
        summary = tally.summary()
        (folder / "summary.json").write_text(summary.json())
        terminal.show(console, summary, folder)
        if exactly:
            (folder / "gradcheck.json").write_text(exactly.json())
            exactly.show(console, whole)
    return summary.passed and (exactly is None or exactly.passed)
