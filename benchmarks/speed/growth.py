"""How time and memory grow with depth, width, batch and file size.

Each size runs in a new process: its memory is the peak minus the memory before the measurement. An
exponent of 1 is linear; the parameters grow as the square of the width.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.table import Table
from safetensors.numpy import save_file

from benchmarks.speed.lockstep import Lockstep
from benchmarks.speed.nets import Net
from torch_parity.compare import threads
from torch_parity.compare.commands.diff import diff
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.sources.recorded import Recorded, record

GROWN: dict[str, tuple[int, ...]] = {
    "depth": (4, 8, 16, 32),
    "width": (64, 128, 256, 512, 1024),
    "batch": (64, 256, 1024, 4096),
    "file, MB": (32, 64, 128, 256, 512),
}
HUGE = 2048
STEPS = 3


def grow(what: str, size: int) -> dict[str, float]:
    """Seconds and megabytes at one size, measured in a new process."""
    command = [sys.executable, "-m", "benchmarks.speed.growth", what, str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Grown:
    """One measure by size; exponent is the slope of the larger half, in logarithms."""

    of: str
    measure: str
    sizes: tuple[int, ...]
    numbers: tuple[float, ...]

    @property
    def exponent(self) -> float | None:
        """None if there is one size. Fixed costs hardly count in the larger half."""
        half = max(0, len(self.sizes) // 2 - 1)
        if len(self.sizes) < 2:
            return None
        x, y = np.log(self.sizes[half:]), np.log(np.maximum(self.numbers[half:], 1e-9))
        return float(np.polyfit(x, y, 1)[0])


def growth(huge: bool) -> list[Grown]:
    """Every measure of every kind of growth, and of two files of 2 GB."""
    found = []
    for what, sizes in (*GROWN.items(), *([("file, MB", (HUGE,))] if huge else [])):
        by_size = [grow(what, size) for size in sizes]
        found += [
            Grown(what, measure, sizes, tuple(f[measure] for f in by_size))
            for measure in by_size[0]
        ]
    return found


def table(found: list[Grown]) -> Table:
    """One row per measure: sizes and numbers."""
    t = Table("grows with", "", "sizes", "numbers", "exponent", title="Growth", box=None)
    for g in found:
        sizes, numbers = ", ".join(map(str, g.sizes)), ", ".join(f"{n:.3g}" for n in g.numbers)
        shown = "" if g.exponent is None else f"{g.exponent:.2f}"
        t.add_row(g.of, g.measure, sizes, numbers, shown)
    return t


def _peak() -> float:
    """Peak megabytes of this program (getrusage's peak includes that of the parent process)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(s.split()[1]) for s in lines if s.startswith("VmHWM")) / 1024


def _net(what: str, size: int) -> Net:
    depth = size if what == "depth" else 3
    width = size if what == "width" else 64
    return Net((64, *[width] * (depth - 1), 10), size if what == "batch" else 64, 0.0)


def _steps(what: str, size: int) -> dict[str, float]:
    """A judged training step, and a step replayed as `parity check` does."""
    sides = Lockstep(_net(what, size))
    before, began = _peak(), perf_counter()
    steps = record(sides.pair, sides.x, sides.y, STEPS)
    recorded = (perf_counter() - began) / STEPS
    judged = [_judged(r, closely=False) for r in steps]
    train_memory = _peak() - before
    checked = [_judged(r, closely=True) for r in steps]
    return {
        "train, ms": (recorded + min(judged)) * 1e3,
        "train, MB": train_memory,
        "check, ms": min(checked) * 1e3,
        "check, MB": _peak() - before,
    }


def _judged(r: Recorded, closely: bool) -> float:
    """Seconds. The step must be right: a wrong one would be diagnosed as well."""
    began = perf_counter()
    judgement = judge(r.nodes, r.start, r.manual, r.torch, always_replay=closely)
    seconds = perf_counter() - began
    assert judgement.passed
    return seconds


def _file(size: int) -> dict[str, float]:
    """diff of two files of `size` MB of float64 in tensors of 16 MB, one ulp apart."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{name}.safetensors") for name in "ab"]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.speed.growth", "write", str(size), *map(str, paths)],
            check=True,
        )
        before, began = _peak(), perf_counter()
        assert diff(*paths).passed
        return {"diff, ms": (perf_counter() - began) * 1e3, "diff, MB": _peak() - before}


def write(size: int, a: Path, b: Path) -> None:
    """Write the two files in a new process, whose memory is freed when it ends."""
    rng = np.random.default_rng(0)
    tensors = {f"made/t{i}": rng.standard_normal((1024, 2048)) for i in range(size // 16)}
    save_file(tensors, a)
    save_file({n: np.nextafter(t, np.inf) for n, t in tensors.items()}, b)


def main(what: str, size: int, *paths: str) -> None:
    """The command that grow and _file start."""
    if what == "write":
        write(size, *map(Path, paths))
        return
    with threads.limited(1):
        run: Callable[[], dict[str, float]] = (
            (lambda: _file(size)) if what == "file, MB" else (lambda: _steps(what, size))
        )
        print(json.dumps(run()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
