"""`train_modules`: two modules of a user's own, trained side by side, with curves and a verdict."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from torch_parity.compare.errors import InputError
from torch_parity.compare.runs import atomic
from torch_parity.compare.runs import folder as runs
from torch_parity.compare.runs.lock import RunLock
from torch_parity.compare.runs.made_with import made_with
from torch_parity.compare.runs.modules_report import ModulesTally, TrainingReport
from torch_parity.compare.runs.modules_training import ModulesStep, ModulesTraining
from torch_parity.compare.runs.trained_module import TrainedModule
from torch_parity.compare.show import html
from torch_parity.compare.show.modules_dashboard import ModulesDashboard
from torch_parity.compare.show.modules_json import write_model_report
from torch_parity.compare.show.progress import watched_in_notebook

AGAIN = "then train again under another run name"


def train_modules(
    a: nn.Module,
    b: nn.Module,
    batches: Iterable[Any],
    *,
    loss: Callable[..., Any],
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    schedulers: tuple[Any, Any] = (None, None),
    run: str | None = None,
    root: str | Path = "runs",
    every: int = 1,
    names: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    called: tuple[str, str] = ("a", "b"),
    share_draws: bool = True,
) -> TrainingReport:
    """Train two modules on the same batches, and judge each step of both from the same state.

    A batch is (inputs, target), with one tensor, a tuple or a dict of keyword inputs as inputs; or
    a dict of keyword inputs, or one tensor, without a target. A step clears the gradients
    (optimizer.zero_grad), computes loss(output, target), or loss(output) without a target, takes
    backward and the optimizer's step, and then the scheduler's step.

    In a judged step both modules begin from a's state: parameters, buffers, gradients, optimizer
    state; b has them transposed, fused or split as its own first numbers are those of a. The first
    step begins from each module's own state. check_modules judges the step. Every n-th step is
    judged (every), the first and the last, and none after the first wrong one.

    Beside that each module is trained on its own, and a copy of a whose parameters are moved by one
    unit in the last place at every step: what rounding alone may do. All draw the same random
    numbers, b unless share_draws is False. The training stops at NaN or infinity.

    With run a folder root/run is written: the curves for TensorBoard (`parity board`), summary.json
    and report.html; of a wrong step report.txt and report.json. It cannot be resumed.

    The modules are not copied. Afterwards they are as before: parameters, buffers, gradients,
    modes, plain attributes (numbers and texts), optimizers, schedulers, and torch's random state.
    names and ignore are those of check_modules.

    Raises:
        InputError (a ValueError): batches that are empty or no batches, a module, loss, optimizer,
            scheduler or iterable that raises, a loss that is no number, modules that share
            parameters, an optimizer of other parameters, a run that exists or cannot be written.
    """
    _require_separate(a, b, optimizers, schedulers, called)
    if isinstance(batches, tuple) and all(isinstance(x, torch.Tensor) for x in batches):
        raise InputError(
            "batches is a tuple of tensors; expected a list of batches, such as [(inputs, target)]"
        )
    if not isinstance(every, int) or every < 1:
        raise InputError(f"every is {every!r}; expected a whole number from 1 up")
    if isinstance(batches, str | bytes) or not isinstance(batches, Iterable):
        raise InputError(f"batches is {type(batches).__name__}; expected an iterable of batches")
    if not callable(loss):
        raise InputError(f"loss is {type(loss).__name__}; expected a function such as nn.MSELoss()")
    first, second = (
        TrainedModule(*parts) for parts in zip((a, b), optimizers, schedulers, called, strict=True)
    )
    about = _about((first, second), every)
    training = ModulesTraining(first, second, batches, loss, every, names, ignore, share_draws)
    tally = ModulesTally(called)
    try:
        with _folder(run, Path(root), about) as files:
            with watched_in_notebook() as watch:
                total = len(batches) if isinstance(batches, Sized) else None
                tick = watch("training both", total)
                for taken in training:
                    tally.add(taken)
                    files.write(taken)
                    tick()
            return files.finish(tally)
    finally:
        training.restore()


class _NoFiles:
    """Of a training without a run."""

    def write(self, taken: ModulesStep) -> None:
        """Nothing is kept."""

    def finish(self, tally: ModulesTally) -> TrainingReport:
        """The report."""
        return tally.of(made_with(), None)


class _Files(_NoFiles):
    """The folder of a run, while it is written."""

    def __init__(self, lock: RunLock, dashboard: ModulesDashboard) -> None:
        self._lock, self._dashboard = lock, dashboard
        self.begun = False

    def write(self, taken: ModulesStep) -> None:
        """The curves of a step."""
        with self._lock.writing():
            self._dashboard.write(taken)
        self.begun = True

    def finish(self, tally: ModulesTally) -> TrainingReport:
        """The summary, the page, and the report on the first wrong step."""
        folder = self._lock.folder
        report = tally.of(made_with(), folder)
        with self._lock.writing():
            self._dashboard.finish(report)
            self._dashboard.sync()
            if report.report is not None:
                write_model_report(folder, report.report)
            atomic.write(folder / "summary.json", report.json().encode())
            atomic.write(folder / "report.html", html.page(folder).encode())
        return report


@contextmanager
def _folder(run: str | None, root: Path, about: Mapping[str, str]) -> Iterator[_NoFiles]:
    if run is None:
        yield _NoFiles()
        return
    if not isinstance(run, str):
        raise InputError(f"run is {type(run).__name__}; expected the name of a new folder")
    folder = runs.create(root, run, run, ("run", "root"))
    begun = False
    try:
        with RunLock(folder, AGAIN) as lock:
            with lock.writing():
                told = json.dumps({"about": dict(about)}, indent=1)
                atomic.write(folder / "modules.json", told.encode())
                dashboard = ModulesDashboard(folder)
            with closing(dashboard):
                with lock.writing():
                    dashboard.begin(about)
                files = _Files(lock, dashboard)
                try:
                    yield files
                finally:
                    begun = files.begun
    finally:
        if not begun:  # the same name can be used once the input is right
            shutil.rmtree(folder, ignore_errors=True)


def _about(sides: Iterable[TrainedModule], every: int) -> dict[str, str]:
    """What is trained, for a reader."""
    found = {}
    for run, side in zip("ab", sides, strict=True):
        n = sum(p.numel() for p in side.model.parameters())
        found[run] = f"{side.called}: {type(side.model).__name__}, {n} parameters"
        found[f"optimizer of {run}"] = type(side.optimizer).__name__
        if side.scheduler is not None:
            found[f"scheduler of {run}"] = type(side.scheduler).__name__
    return found | {"judged": "every step" if every == 1 else f"one of {every} steps"}


def _require_separate(
    a: nn.Module,
    b: nn.Module,
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    schedulers: tuple[Any, Any],
    called: tuple[str, str],
) -> None:
    """Two modules, each with an optimizer of its own parameters."""
    pairs = (("optimizers", optimizers), ("schedulers", schedulers), ("called", called))
    for what, both in pairs:
        if not isinstance(both, tuple | list) or len(both) != 2:
            raise InputError(f"{what} is {type(both).__name__}; expected a pair, a's and b's")
    for name, scheduler in zip(("a", "b"), schedulers, strict=True):
        if scheduler is not None and not hasattr(scheduler, "state_dict"):
            raise InputError(
                f"the scheduler of {name} is {type(scheduler).__name__}; expected one of "
                "torch.optim.lr_scheduler, or None"
            )
    for name, model, optimizer in zip(("a", "b"), (a, b), optimizers, strict=True):
        if not isinstance(model, nn.Module):
            raise InputError(f"{name} is {type(model).__name__}; expected an nn.Module to train")
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InputError(
                f"the optimizer of {name} is {type(optimizer).__name__}; expected a "
                "torch.optim.Optimizer"
            )
        if any(is_lazy(p) for p in model.parameters()):
            raise InputError(f"{name} has parameters without a shape; run it once on an input")
        own = {id(p) for p in model.parameters()}
        held = [p for group in optimizer.param_groups for p in group["params"]]
        if any(id(p) not in own for p in held):
            raise InputError(
                f"the optimizer of {name} holds parameters that {name} does not have; make it from "
                f"{name}.parameters()"
            )
    memory = {t.untyped_storage().data_ptr() for t in (*a.parameters(), *a.buffers()) if t.numel()}
    for name, t in (*b.named_parameters(), *b.named_buffers()):
        if t.numel() and t.untyped_storage().data_ptr() in memory:
            raise InputError(
                f"{name} of b lies in the memory of a, so training one trains the other; give b "
                "copies, with copy.deepcopy or clone()"
            )
