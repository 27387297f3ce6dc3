"""Gradient checks, timed in turn on one network, and their errors on random networks.

Time: 784-64-10, relu, cross_entropy, batch 16; the fast exact check (with its own cross-check), the
plain complex-step loop (a random sample of entries, scaled to all), torch.autograd.gradcheck.
Survey: false alarms on correct gradients, and errors of 1e-9 in one entry that are found.
"""

import json
import multiprocessing
import platform
import resource
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.gradients import draw, torch_misses, with_error
from torch_parity import manual
from torch_parity.compare import threads
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.sources import pair
from torch_parity.manual.models.step import Tensors
from torch_parity.torch_ref.gradients.gradient_check import gradient_check

SIZES, BATCH = (784, 64, 10), 16
LARGE = (1000, 900, 100)  # 991,000 parameters
LOOPED = 500
ERROR = 1e-9


@dataclass(frozen=True)
class Problem:
    """One step's inputs and the hand-written gradients."""

    pair: pair.Pair
    x: np.ndarray
    y: np.ndarray
    gradients: Tensors

    def exact(self) -> manual.ExactCheck:
        """The fast scheme, with its sample of the loop."""
        net, params = self.pair.manual.net, self.pair.params
        return manual.exact_check(net, params, self.x, self.y, {}, self.gradients)

    def loop(self) -> np.ndarray:
        """LOOPED entries by the plain loop."""
        net, params, rng = self.pair.manual.net, self.pair.params, np.random.default_rng(1)
        names, sizes = list(params), [p.size for p in params.values()]
        chosen = rng.choice(names, LOOPED, p=np.array(sizes) / sum(sizes))
        entries = [
            (str(n), tuple(int(rng.integers(width)) for width in params[n].shape)) for n in chosen
        ]

        def cost(p: Tensors) -> complex:
            t = manual.forward(net, p, self.x, {})
            return complex(manual.cost(net, p, t[f"a{net.depth}"], self.y)["loss"])

        return manual.complex_step_gradient(cost, params, entries)

    def gradcheck(self, fast: bool = False) -> bool:
        """torch.autograd.gradcheck on the torch model."""
        side, x, y = self.pair.torch, torch.tensor(self.x), torch.tensor(self.y)
        parameters = list(side.net.parameters())
        return gradient_check(lambda: side.criterion(side.net(x), y), parameters, fast_mode=fast)


def problem(sizes: tuple[int, ...]) -> Problem:
    """Random numbers of these sizes."""
    rng = np.random.default_rng(0)
    n_in, *hidden, classes = sizes
    x, labels = rng.normal(size=(BATCH, n_in)), rng.integers(0, classes, BATCH)
    labels[0] = classes - 1
    case = Case(hidden=tuple(hidden), loss="cross_entropy", p=0, l2=0)
    built = pair.build(case, Data("drawn", x, labels, x, labels, classes))
    t = manual.forward(built.manual.net, built.params, x, {})
    y = built.targets.y_train
    return Problem(built, x, y, manual.backward(built.manual.net, built.params, t, y, {}))


def times(rounds: int, console: Console) -> dict[str, list[float]]:
    """Seconds of each method, in turn, `rounds` times."""
    p = problem(SIZES)
    total = sum(a.size for a in p.pair.params.values())
    methods: dict[str, tuple[Callable[[], object], float]] = {
        "exact, all at once": (p.exact, 1.0),
        "exact, loop over entries": (p.loop, total / LOOPED),
        "torch gradcheck, full mode": (p.gradcheck, 1.0),
        "torch gradcheck, fast mode": (lambda: p.gradcheck(fast=True), 1.0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    with threads.limited(1):
        p.exact()  # the first call allocates memory
        for _ in track(range(rounds), "timing", console=Console(stderr=True), transient=True):
            for name, (run, scale) in methods.items():
                began = perf_counter()
                run()
                seconds[name].append((perf_counter() - began) * scale)
    return seconds


def peak() -> tuple[int, float, float]:
    """(parameters, peak MB of the process, MB more than before the check); in a new process."""
    with threads.limited(1):
        p = problem(LARGE)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        check = p.exact()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check.passed
    return check.entries, after / 1024, (after - before) / 1024


@dataclass(frozen=True)
class Surveyed:
    """One network. difference is the relative norm over all parameters, the worse of both sides;
    found and missed_by_torch are of the planted error, torch_alarm is of none; each is None where
    every gradient is 0, torch's where it was not asked."""

    seed: int
    alarms: tuple[str, ...]
    difference: float
    bound: float
    by_kink: bool
    found: bool | None
    missed_by_torch: bool | None
    torch_alarm: bool | None


def survey(seed: int, ask_torch: bool) -> Surveyed:
    """Both sides as they are, then the manual side's with one entry off by ERROR."""
    d = draw(seed)
    checks = {"manual": d.check(d.manual), "torch": d.check(d.torch)}
    planted = with_error(d, seed, ERROR)
    exact = d.exact()
    both = (exact.bounds, exact.gradients)
    flat = [np.concatenate([a.ravel() for a in t.values()]) for t in both]
    return Surveyed(
        seed,
        tuple(side for side, c in checks.items() if not c.passed),
        max(c.difference for c in checks.values()),
        float(np.linalg.norm(flat[0]) / max(2 * np.linalg.norm(flat[1]), 1e-300)),
        any(p.by_kink for c in checks.values() for p in c.parameters),
        planted[1] in d.check(planted[0]).wrong if planted else None,
        torch_misses(d, *planted[1:], ERROR) if ask_torch and planted else None,
        not torch_misses(d, *planted[1:], 0.0) if ask_torch and planted else None,
    )


def _show_times(console: Console, seconds: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(s) for name, s in seconds.items()}
    ours = medians["exact, all at once"]
    rounds = len(next(iter(seconds.values())))
    t = Table("", "median", "least", "greatest", "times ours", title=f"{SIZES}, {rounds} rounds")
    for name, s in seconds.items():
        cells = (f"{x * 1e3:,.1f} ms" for x in (medians[name], min(s), max(s)))
        t.add_row(name, *cells, f"{medians[name] / ours:,.3g}")
    console.print(t)
    console.print(f"(loop: {LOOPED} random entries, scaled to all)")


def _show_survey(console: Console, found: list[Surveyed]) -> None:
    asked = [s for s in found if s.missed_by_torch is not None]
    by_torch = sum(not (s.missed_by_torch or s.torch_alarm) for s in asked)
    hits = [s.found for s in found if s.found is not None]
    smooth = [s.difference for s in found if not s.by_kink]
    over = [s for s in found if s.difference > 1e-13]
    console.print(
        f"{len(found)} random networks, seeds {found[0].seed} to {found[-1].seed}\n"
        f"false alarms: {sum(bool(s.alarms) for s in found)}\n"
        f"relative norm: median {statistics.median(smooth):.1e}, greatest {max(smooth):.1e}; "
        f"over 1e-13 in {len(over)} (seed, difference, its bound): "
        f"{[(s.seed, f'{s.difference:.0e}', f'{s.bound:.0e}') for s in over]}\n"
        f"planted {ERROR:g} found: {sum(map(bool, hits))} of {len(hits)}; not in seeds "
        f"{[s.seed for s in found if s.found is False]}\n"
        "torch.autograd.gradcheck at its defaults found "
        f"{by_torch} of {len(asked)}, with {sum(bool(s.torch_alarm) for s in asked)} false alarms",
        soft_wrap=True,
        highlight=False,
    )


def _one_thread() -> None:
    torch.set_num_threads(1)


@click.command()
@click.option("--rounds", default=5, type=click.IntRange(1))
@click.option("--networks", default=1_000, type=click.IntRange(1))
@click.option("--asked", default=1_000, help="how many of them torch's gradcheck looks at as well")
@click.option("--seed", default=7_000_000, type=click.IntRange(0), help="of the first network")
@click.option("--jobs", default=2, type=click.IntRange(1))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="the same as JSON")
def main(rounds: int, networks: int, asked: int, seed: int, jobs: int, out: Path | None) -> None:
    """Time the gradient checks, then survey them."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    console.print(f"{_cpu()}; {versions}, torch {torch.__version__}; one thread")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:  # first: a child inherits the peak
        parameters, whole, more = pool.submit(peak).result()
    console.print(f"{parameters:,} parameters: {whole:.0f} MB at most, {more:.0f} MB by the check")
    seconds = times(rounds, console)
    _show_times(console, seconds)
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_one_thread) as pool:
        seeds = range(seed, seed + networks)
        ask = [s < seed + asked for s in seeds]
        drawn = pool.map(survey, seeds, ask, chunksize=8)
        bar = Console(stderr=True)
        found = list(track(drawn, "surveying", len(seeds), console=bar, transient=True))
    _show_survey(console, found)
    if out:
        record = {"seconds": seconds, "peak_mb": whole, "survey": [asdict(s) for s in found]}
        out.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _cpu() -> str:
    """The processor, if the system has its name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), "?")


if __name__ == "__main__":
    main()
