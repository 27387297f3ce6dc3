"""TensorBoard on two modules that are trained side by side."""

from collections.abc import Mapping
from pathlib import Path

from torch_parity.compare.runs.modules_report import TrainingReport
from torch_parity.compare.runs.modules_training import RUNS, ModulesStep
from torch_parity.compare.show.event_logs import EventLogs, markdown
from torch_parity.compare.show.scalars_layout import MODULES


class ModulesDashboard(EventLogs):
    """Writes runs/<name>/a, b, perturbed_copy (of a, one ulp a step) and parity."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, RUNS)

    def begin(self, about: Mapping[str, object]) -> None:
        """What is trained, as text; the layout of the custom scalars."""
        lines = ((name, str(value)) for name, value in about.items())
        self.text("training", markdown(("what", "value"), lines))
        self.layout(MODULES)

    def write(self, taken: ModulesStep) -> None:
        """One event a run."""
        for run, numbers in taken.curves.items():
            self.scalars(run, numbers, taken.step)

    def finish(self, report: TrainingReport) -> None:
        """The verdict, and the worst of every result."""
        worst = (
            (name, f"{found.use:.0%}", str(found.step)) for name, found in report.worst.items()
        )
        table = markdown(("result", "of bound", "step"), worst)
        self.text("report", f"{report.verdict}\n\n{table}", report.steps)
