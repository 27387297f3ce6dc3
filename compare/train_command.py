"""`parity train`: everything is checked before the run's folder exists, then data flows one way."""

from contextlib import closing
from pathlib import Path

import tomli_w
from rich.console import Console
from rich.progress import track

from compare import data, pair, report, runs, threads, training
from compare.case import Case
from compare.dashboard import Dashboard
from compare.summary import Tally


def run(case: Case, name: str | None, root: Path) -> bool:
    """Train, log, report -> whether every tensor of every step agreed.

    Raises:
        InputError: the case, its data or the run's folder cannot be used.
    """
    console = Console()
    with threads.limited(case.threads):
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        folder = runs.create(root, name, default=Path(case.data).stem)
        (folder / "case.toml").write_text(tomli_w.dumps(case.model_dump(exclude_none=True)))
        report.show_case(console, case, loaded, sides)
        tally = Tally(training.score_name(loaded), case.base_error)
        with closing(Dashboard(folder)) as dashboard:
            steps = training.train(case, loaded, sides)
            for record in track(
                steps,
                "training both sides",
                total=case.steps,
                console=Console(stderr=True),
                transient=True,
            ):
                dashboard.write(record)
                tally.add(record)
        summary = tally.summary()
        (folder / "summary.json").write_text(summary.json())
        report.show(console, summary, folder)
    return summary.passed
