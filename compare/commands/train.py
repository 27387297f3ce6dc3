"""`parity train`: check every input, create the run's folder, train, log and report."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import tomli_w

from torch_parity.compare import data, memory, threads
from torch_parity.compare import progress as stored
from torch_parity.compare.case import Case
from torch_parity.compare.commands.stopping import StopRequest, listening
from torch_parity.compare.commands.train_output import REPORT, Output
from torch_parity.compare.data import Data
from torch_parity.compare.gradients import train_gradcheck
from torch_parity.compare.gradients.derivable import require_unclipped
from torch_parity.compare.gradients.train_gradcheck import Gradchecks
from torch_parity.compare.judge.outcome import STATUS, Answer
from torch_parity.compare.progress import Progress
from torch_parity.compare.runs import atomic, event_file, training
from torch_parity.compare.runs import folder as runs
from torch_parity.compare.runs.event_file import Written
from torch_parity.compare.runs.lock import RunLock
from torch_parity.compare.runs.made_with import made_with
from torch_parity.compare.runs.summary import Summary, Tally
from torch_parity.compare.runs.training import State, Training
from torch_parity.compare.show import progress, terminal
from torch_parity.compare.show.progress import Tell, tell_step
from torch_parity.compare.show.train_dashboard import TrainDashboard
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.pair import Pair

STORE_EVERY = 100  # steps between two checkpoints, which cost some milliseconds


def train_case(
    case: Case,
    name: str | None,
    root: Path,
    gradcheck: int | None = None,
    output: Output = REPORT,
) -> int:
    """Train, log, report -> the exit status: 0 if every tensor of every step agreed, 1 if not, 3
    if some could not be judged, 128 plus the signal number if a signal stopped it.

    gradcheck = N also compares the gradients of every Nth step with the exact ones.

    Raises:
        InputError: the case, its data or the run's folder cannot be used.
    """
    with threads.limited(case.threads):
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        if gradcheck is not None:
            require_unclipped(case)
        exactly = train_gradcheck.prepare(sides.manual.net, gradcheck, case.steps, case.dtype)
        folder = runs.create(root, name, default=Path(case.data).stem)
        tally = Tally(training.score_name(loaded), training.base_error(case, loaded))
        with RunLock(folder) as lock:
            write_case(lock, case)
            terminal.show_case(output.report, case, loaded, sides)
            return TrainingRun(case, loaded, sides, lock, tally, exactly, output).train()


def write_case(lock: RunLock, case: Case) -> None:
    """Write case.toml into the run's folder."""
    text = tomli_w.dumps(case.model_dump(exclude_none=True))
    with lock.writing():
        atomic.write(lock.folder / "case.toml", text.encode())


@dataclass
class TrainingRun:
    """A run in progress, new or resumed; start, seconds, notes and logs come from the process that
    was stopped. lengthened says that more steps are planned now than when it was stopped."""

    case: Case
    data: Data
    pair: Pair
    lock: RunLock
    tally: Tally
    exactly: Gradchecks | None
    output: Output
    start: State | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    logs: Mapping[str, Written] = field(default_factory=dict)
    lengthened: bool = False

    def train(self) -> int:
        """To the last step, or until a signal requests a stop -> the exit status.

        Raises:
            InputError: the folder can no longer be written.
        """
        memory.keep_freed()
        self._began = perf_counter() - self.seconds
        self._digest = stored.digest(self.data)
        self._made_with = made_with()
        steps = Training(self.case, self.data, self.pair, self.exactly, self.start)
        with listening() as request:
            with self._dashboard() as dashboard:
                if self.start is None:
                    with self.lock.writing():
                        dashboard.begin()
                    self._store(steps, dashboard)
                elif self.lengthened:
                    with self.lock.writing():
                        dashboard.show_case(self.start.step)
                with progress.progress(self.output.quiet) as tell:
                    stopped = self._take(steps, dashboard, request, tell)
                summary = self.tally.summary(self.case.steps, stopped, self._made_with, self.notes)
                with self.lock.writing():
                    dashboard.finish(steps.manual.params, summary)
            answer = self._report(stopped, summary)
        return request.status if stopped else STATUS[answer]

    def _take(
        self, steps: Training, dashboard: TrainDashboard, request: StopRequest, tell: Tell
    ) -> bool:
        """Every step that is left and can be judged -> whether a signal stopped it before that."""
        for record in steps:
            tell_step(tell, "training both sides", record, self.case.steps)
            with self.lock.writing():
                dashboard.write(record)
            self.tally.add(record)
            if not record.finite:
                break
            last = record.step == self.case.steps
            if last or request.signal or record.step % STORE_EVERY == 0:
                self._store(steps, dashboard)
            if request.signal and not last:
                return True
        return False

    def _store(self, steps: Training, dashboard: TrainDashboard) -> None:
        """Store a checkpoint, after the curves: it records how long their files are."""
        with self.lock.writing():
            dashboard.sync()
            self.logs = event_file.written(self.lock.folder, self.logs)
            made = Progress(
                case=self.case,
                data=self._digest,
                made_with=self._made_with,
                perturbation_rng=steps.state().perturbation_rng,
                tally=self.tally,
                gradchecks=self.exactly.seen if self.exactly else None,
                logs=self.logs,
                seconds=perf_counter() - self._began,
                notes=self.notes,
            )
            stored.store(self.lock.folder, steps.state(), made)

    @contextmanager
    def _dashboard(self) -> Iterator[TrainDashboard]:
        with self.lock.writing():
            dashboard = TrainDashboard(self.lock.folder, self.case, self.data, self.pair)
        try:
            yield dashboard
        finally:
            with self.lock.explained():
                dashboard.close()

    def _report(self, stopped: bool, summary: Summary) -> Answer:
        """On the terminal and as files; the run is finished once summary.json says so."""
        folder, seen = self.lock.folder, self.exactly.seen if self.exactly else None
        if seen and not stopped:
            summary = replace(summary, gradients_passed=seen.passed)
        with self.lock.writing():
            if seen and not stopped:
                atomic.write(folder / "gradcheck.json", seen.json().encode())
            atomic.write(folder / "summary.json", summary.json().encode())
        self.output.show(summary, folder)
        if seen:
            seen.show(self.output.verdict, perf_counter() - self._began)
        if stopped:
            terminal.show_how_to_resume(self.output.verdict, folder)
        return "FAIL" if seen and not seen.passed else summary.outcome
