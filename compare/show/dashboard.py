"""TensorBoard: the hand-written side and torch's, step by step; and the report of a test."""

import math
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from torch_parity.compare.flow.phases import PHASES, Phase
from torch_parity.compare.judge.differences import Difference
from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.judge.report import Report
from torch_parity.compare.runs import event_file, events
from torch_parity.compare.runs.summary import kind
from torch_parity.compare.runs.training import StepRecord
from torch_parity.compare.show.bands import COPY, Bands
from torch_parity.compare.show.event_logs import EventLogs
from torch_parity.compare.show.histograms import histograms
from torch_parity.compare.show.judgement_json import to_json
from torch_parity.compare.show.scalars_layout import COMPARED, wide

# In the order in which TensorBoard gives them its colours: neighbours in a chart differ most.
RUNS = ("manual", "torch", "bound", "parity", COPY)


class Dashboard(EventLogs):
    """Writes runs/<name>/manual, torch, perturbed_copy (of manual, one ulp a step), parity and
    bound."""

    def __init__(self, folder: Path, score: str = "accuracy") -> None:
        before = events.ends(folder / "manual" / event_file.NAME)
        super().__init__(folder, RUNS)
        self._bands = Bands(SIDES, wide(score), COMPARED, before)

    def write(self, record: StepRecord) -> None:
        """One event per run: the curves, and histograms if the record has the tensors."""
        sides = {"manual": record.manual, "torch": record.torch, COPY: record.perturbed_copy}
        bands = self._bands.added(sides, record.drift, record.envelope)
        greatest, bound = _by_phase(record.judgement.differences, record.phases)
        parity = _by_kind(record.judgement.differences) | greatest
        parity |= {"drift/manual_to_torch": record.drift, "drift/perturbed_copy": record.envelope}
        curves = {run: {**numbers, **bands[run]} for run, numbers in sides.items()}
        drawn = {str(side): histograms(trace) for side, trace in record.traces.items()}
        for run, numbers in {**curves, "parity": parity, "bound": bound}.items():
            self.scalars(run, numbers, record.step, drawn.get(run, ()))


def write_report(folder: Path, report: Report) -> None:
    """report.txt, report.json, and a TensorBoard run: the difference of every tensor, what each
    side used of its bound, and the report as text."""
    folder.mkdir(parents=True, exist_ok=True)
    text, j = str(report), report.judgement
    (folder / "report.txt").write_text(text, "utf-8")
    more = {
        "called": report.called,
        "conventions": report.conventions,
        "notes": (*report.unknown, *report.notes),
    }
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


def _by_phase(
    differences: tuple[Difference, ...], phases: Mapping[str, Phase]
) -> tuple[dict[str, float], dict[str, float]]:
    """log10 of the greatest difference of each phase, and of the greatest bound of any of its
    tensors. Where nothing differs there is no value; where everything was replayed there is no
    bound."""
    greatest: dict[str, float] = {}
    bound: dict[str, float] = {}
    for phase in PHASES:
        found = [d for d in differences if phases.get(d.name) == phase]
        tag = f"log10_difference/{phase}"
        if most := max((d.relative for d in found if 0 < d.relative < math.inf), default=0.0):
            greatest[tag] = math.log10(most)
        if most := max((d.bound for d in found), default=0.0):
            bound[tag] = math.log10(most)
    return greatest, bound
