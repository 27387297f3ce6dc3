"""TensorBoard on two modules that are trained side by side."""

from collections.abc import Mapping
from pathlib import Path

from torch_parity.compare.runs.modules_report import TrainingReport
from torch_parity.compare.runs.modules_training import ModulesStep
from torch_parity.compare.show import scalars_layout
from torch_parity.compare.show.bands import COPY, Bands
from torch_parity.compare.show.event_logs import EventLogs, markdown

RUNS = ("a", "b", "bound", "parity", COPY)  # in the order of TensorBoard's colours


class ModulesDashboard(EventLogs):
    """Writes runs/<name>/a, b, perturbed_copy (of a, one ulp a step), parity and bound."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, RUNS)
        self._bands: Bands | None = None  # until the first step says what the losses are called

    def begin(self, about: Mapping[str, object]) -> None:
        """What is trained, as text."""
        lines = ((name, str(value)) for name, value in about.items())
        self.text("training", markdown(("what", "value"), lines))

    def write(self, taken: ModulesStep) -> None:
        """One event a run; with the first the layout of the custom scalars."""
        curves, parity = taken.curves, taken.curves["parity"]
        if self._bands is None:
            losses = [tag for tag in curves["a"] if tag.endswith("/batch")]
            self._bands = Bands(("a", "b"), losses, losses, {})
            self.layout(scalars_layout.modules(losses))
        drift, envelope = parity["drift/a_to_b"], parity["drift/perturbed_copy"]
        added = self._bands.added(curves, drift, envelope)
        added["bound"] = {"of_bound/bound": 1.0} if taken.report else {}
        for run in RUNS:
            self.scalars(run, {**curves.get(run, {}), **added.get(run, {})}, taken.step)

    def finish(self, report: TrainingReport) -> None:
        """The verdict, and the worst of every result."""
        worst = (
            (name, f"{found.use:.0%}", str(found.step)) for name, found in report.worst.items()
        )
        table = markdown(("result", "of bound", "step"), worst)
        self.text("report", f"{report.verdict}\n\n{table}", report.steps)
