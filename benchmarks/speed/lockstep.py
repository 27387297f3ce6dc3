"""The cost of training both sides in one process, of judging every step, and of logging.

The pair: milliseconds per step of each side in its own process, and of both in one process; with
and without another process that keeps a core busy. Judging and logging: as in `parity train`, as
shares of the two steps and of the run.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from rich.table import Table
from torch.utils.tensorboard import SummaryWriter

from benchmarks.interleaved import interleaved, ratio
from benchmarks.speed.nets import DIGITS, WIDEST, Net
from torch_parity import manual
from torch_parity.compare import data, threads
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.judge.matches import PIECE
from torch_parity.compare.runs import training
from torch_parity.compare.runs.summary import Tally, kind
from torch_parity.compare.show.dashboard import Dashboard
from torch_parity.compare.show.train_dashboard import TrainDashboard
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import record
from torch_parity.manual.models.step import Tensors

SECONDS = 1.0


class Lockstep:
    """Both sides of a random problem, as in training: recorded, with dropout and L2."""

    def __init__(self, net: Net, dtype: str = "float64") -> None:
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((net.batch, net.sizes[0])).astype(dtype)
        labels = rng.integers(0, net.sizes[-1], net.batch)
        case = Case(hidden=net.sizes[1:-1], loss="cross_entropy", batch=net.batch, dtype=dtype)
        self.pair = pair.build(case, Data("drawn", self.x, labels, self.x, labels, net.sizes[-1]))
        self.y = self.pair.targets.y_train
        self.at = (self.pair.params, self.pair.state)
        widths = enumerate(net.sizes[1:-1], start=1)
        self.masks = {
            f"mask{k}": manual.dropout_mask(rng, (net.batch, n), case.p).astype(dtype)
            for k, n in widths
        }

    def torch(self) -> object:
        """Its own step, recorded."""
        return self.pair.torch.step(self.x, self.y)

    def manual(self) -> Tensors:
        """From the state before the last one."""
        t = self.pair.manual.step(*self.at, self.x, self.y, self.masks)
        self.at = tuple({n: t[n] for n in held} for held in self.at)
        return t

    def both(self) -> None:
        """One after the other."""
        self.torch()
        self.manual()


def worker(what: str) -> None:
    """Run steps for a second, and print the milliseconds of one; this is a process's whole work."""
    with threads.limited(1):
        step = getattr(Lockstep(DIGITS), what)
        for _ in range(20):
            step()
        steps, began = 0, perf_counter()
        while perf_counter() - began < SECONDS:
            step()
            steps += 1
        print((perf_counter() - began) / steps * 1e3)


def together(rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds: manual, torch, both, and both / (manual + torch); idle and beside a busy
    process."""
    found: dict[str, dict[str, float]] = {}
    for label, busy in (("machine idle", 0), ("one core busy", 1)):
        taken: dict[str, list[float]] = {"manual": [], "torch": [], "both": []}
        with _busy(busy):
            for _ in range(rounds):
                for what in taken:
                    taken[what].append(_alone(what))
        ratios = [b / (m + t) for m, t, b in zip(*taken.values(), strict=True)]
        found[label] = {k: median(v) for k, v in taken.items()} | {"ratio": median(ratios)}
    return found


def _alone(what: str) -> float:
    command = [sys.executable, "-m", "benchmarks.speed.lockstep", what]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@contextmanager
def _busy(count: int) -> Iterator[None]:
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def judging(rounds: int) -> dict[str, dict[str, float]]:
    """Comparing every tensor of a step, replaying it, and reading every entry of both sides once,
    as shares of the two steps."""
    found = {}
    for net, dtype in ((DIGITS, "float64"), (WIDEST, "float64"), (WIDEST, "float32")):
        with threads.limited(1):
            sides = Lockstep(net, dtype)
            (r,) = record(sides.pair, sides.x, sides.y, 1)
            step = (r.nodes, r.start, r.manual, r.torch)
            methods: dict[str, Callable[[], object]] = {
                "steps": sides.both,
                "judge": partial(judge, *step),
                "replay": partial(judge, *step, always_replay=True),
                "read": partial(_read, r.manual, r.torch, np.empty(PIECE, dtype)),
            }
            timed = interleaved(methods, rounds if net == DIGITS else max(3, rounds // 3))
        found[f"{net.name}, {dtype}"] = {
            "target": 0.1 if net == DIGITS else 0.05,
            "steps, ms": timed["steps"].median * 1e3,
            "judge": ratio(timed, "judge", "steps"),
            "replay": ratio(timed, "replay", "steps"),
            "read": ratio(timed, "read", "steps"),
        }
    return found


def _read(manual: Tensors, torch: Tensors, piece: np.ndarray) -> None:
    """Read every entry of both sides once: the least cost of a comparison."""
    for name, a in manual.items():
        flat, other = a.reshape(-1), torch[name].reshape(-1)
        for start in range(0, a.size, PIECE):
            part = flat[start : start + PIECE]
            np.subtract(part, other[start : start + PIECE], out=piece[: part.size])


def logging(rounds: int) -> dict[str, float]:
    """Microseconds per scalar, ours and add_scalar's; and the share of logging in a default run."""
    case = Case(steps=30)
    with threads.limited(1), tempfile.TemporaryDirectory() as folder:
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        records = list(training.Training(case, loaded, sides))
        plain = next(r for r in reversed(records) if not r.traces)
        curves = (plain.manual, plain.torch, plain.perturbed_copy)
        kinds = {kind(d.name) for d in plain.judgement.differences}
        scalars = sum(map(len, curves)) + len(kinds) + len(("drift", "envelope"))
        with (
            closing(Dashboard(Path(folder, "ours"))) as dashboard,
            SummaryWriter(str(Path(folder, "theirs"))) as writer,
        ):

            def one_by_one() -> None:
                for i in range(scalars):
                    writer.add_scalar(f"curve/{i}", 0.5, plain.step)

            timed = interleaved(
                {"ours": lambda: dashboard.write(plain), "add_scalar": one_by_one}, rounds
            )
        share = _share_of_a_run(Path(folder, "run"))
    return {
        "scalars": scalars,
        "ours, us": timed["ours"].median / scalars * 1e6,
        "add_scalar, us": timed["add_scalar"].median / scalars * 1e6,
        "times cheaper": ratio(timed, "add_scalar", "ours"),
        "share of the run": share,
    }


def _share_of_a_run(folder: Path) -> float:
    """Of `parity train` at its defaults, from the first step to the last line of the log."""
    case, logging = Case(), Stopwatch()
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    tally = Tally(training.score_name(loaded))
    began = perf_counter()
    with closing(TrainDashboard(folder, case, loaded, sides)) as dashboard:
        logging(dashboard.begin)
        steps = training.Training(case, loaded, sides)
        for step in steps:
            logging(dashboard.write, step)
            tally.add(step)
        summary = tally.summary(case.steps, False, {}, ())
        logging(dashboard.finish, steps.manual.params, summary)
    return logging.seconds / (perf_counter() - began)


class Stopwatch:
    """Calls functions and adds up the seconds."""

    seconds = 0.0

    def __call__(self, run: Callable[..., object], *args: object) -> None:
        """Time one call."""
        began = perf_counter()
        run(*args)
        self.seconds += perf_counter() - began


def tables(
    pairs: dict[str, dict[str, float]],
    judged: dict[str, dict[str, float]],
    logged: dict[str, float],
) -> list[Table]:
    """Three small tables."""
    a = Table("", "manual, ms", "torch, ms", "both, ms", "both / sum", title="The pair", box=None)
    for label, f in pairs.items():
        a.add_row(label, *(f"{f[k]:.3f}" for k in ("manual", "torch", "both")), f"{f['ratio']:.2f}")
    b = Table("", "two steps, ms", "judged", "target", "read once", "replayed", box=None)
    b.title = "Judging, of the steps"
    for label, f in judged.items():
        missed = " !" if f["judge"] > f["target"] else ""
        shares = (f"{f['judge']:.3f}{missed}", f"{f['target']:.2f}", f"{f['read']:.3f}")
        b.add_row(label, f"{f['steps, ms']:.2f}", *shares, f"{f['replay']:.1f}")
    c = Table(*logged, title="Logging", box=None)
    c.add_row(*(f"{v:.3g}" for v in logged.values()))
    return [a, b, c]


if __name__ == "__main__":
    worker(sys.argv[1])
