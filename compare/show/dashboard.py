"""TensorBoard: both sides under the same tags, so that their curves are in the same charts.

A whole step is one event: add_scalar costs some 60 us a number, a number more in an event 3 us.
"""

import io
from contextlib import ExitStack, closing
from pathlib import Path

from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event as LogEvent
from tensorboard.compat.proto.summary_pb2 import Summary as Event
from torch.utils.tensorboard import SummaryWriter

from torch_parity.compare.judge.differences import Difference
from torch_parity.compare.judge.report import Report
from torch_parity.compare.runs.event_file import EventFile
from torch_parity.compare.runs.summary import kind
from torch_parity.compare.runs.training import StepRecord
from torch_parity.compare.show.histograms import histograms
from torch_parity.compare.show.judgement_json import to_json


class Dashboard:
    """Writes runs/<name>/manual, torch, perturbed_copy (of manual, one ulp a step) and parity."""

    def __init__(self, folder: Path) -> None:
        sides = ("manual", "torch", "perturbed_copy", "parity")
        with ExitStack() as opened:
            self._writers = {
                side: opened.enter_context(closing(EventFile(folder / side))) for side in sides
            }
            self._opened = opened.pop_all()

    def sync(self) -> None:
        """Flush everything to the disk."""
        for writer in self._writers.values():
            writer.sync()

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def write(self, record: StepRecord) -> None:
        """One event per side: the curves, and histograms if the record has the tensors."""
        parity = _by_kind(record.judgement.differences)
        parity |= {"drift/manual_to_torch": record.drift, "drift/perturbed_copy": record.envelope}
        curves = {
            "manual": record.manual,
            "torch": record.torch,
            "perturbed_copy": record.perturbed_copy,
            "parity": parity,
        }
        drawn = {str(side): list(histograms(trace)) for side, trace in record.traces.items()}
        for run, numbers in curves.items():
            values = [Event.Value(tag=tag, simple_value=v) for tag, v in numbers.items()]
            self.add(run, Event(value=values + drawn.get(run, [])), record.step)

    def picture(self, tag: str, figure: Figure, step: int) -> None:
        """A figure on the Images page, among parity's."""
        png = io.BytesIO()
        figure.savefig(png, format="png")
        width, height = figure.canvas.get_width_height()
        image = Event.Image(encoded_image_string=png.getvalue(), width=width, height=height)
        self.add("parity", Event(value=[Event.Value(tag=tag, image=image)]), step)

    def add(self, run: str, event: Event, step: int | None = None) -> None:
        """Add any other summary."""
        self._writers[run].add_summary(event, step)

    def log(self, run: str, event: LogEvent) -> None:
        """Add an event that is not a summary, such as a graph."""
        self._writers[run].add_event(event)


def write_report(folder: Path, report: Report) -> None:
    """report.txt, report.json, and a TensorBoard run: the difference of every tensor, what each
    side used of its bound, and the report as text."""
    folder.mkdir(parents=True, exist_ok=True)
    text, j = str(report), report.judgement
    (folder / "report.txt").write_text(text, "utf-8")
    more = {"called": report.called, "conventions": report.conventions, "notes": report.notes}
    (folder / "report.json").write_text(to_json(j, **more) + "\n", "utf-8")
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("report", f"```\n{text}\n```")
        for d in j.differences:
            writer.add_scalar(f"difference/{d.name}", d.relative)
        for side, replays in j.replays.items():
            for r in replays:
                writer.add_scalar(f"of_bound/{report.names[side]}/{r.name}", r.use)


def _by_kind(differences: tuple[Difference, ...]) -> dict[str, float]:
    """The greatest difference of each kind of tensor; one that does not exist stays NaN."""
    greatest: dict[str, float] = {}
    for d in differences:
        tag = "difference/" + kind(d.name)
        held = greatest.get(tag, 0.0)
        greatest[tag] = d.relative if not d.relative <= held else held
    return greatest
