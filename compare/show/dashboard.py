"""TensorBoard: the hand-written side and torch's, step by step; and the report of a test."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from torch_parity.compare.judge.differences import Difference
from torch_parity.compare.judge.report import Report
from torch_parity.compare.runs.summary import kind
from torch_parity.compare.runs.training import StepRecord
from torch_parity.compare.show.event_logs import EventLogs
from torch_parity.compare.show.histograms import histograms
from torch_parity.compare.show.judgement_json import to_json


class Dashboard(EventLogs):
    """Writes runs/<name>/manual, torch, perturbed_copy (of manual, one ulp a step) and parity."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ("manual", "torch", "perturbed_copy", "parity"))

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
        drawn = {str(side): histograms(trace) for side, trace in record.traces.items()}
        for run, numbers in curves.items():
            self.scalars(run, numbers, record.step, drawn.get(run, ()))


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
