"""The start-up time of a command, compared with starting Python, and the processor time of whole
short commands, compared with importing torch."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from statistics import median

from benchmarks.interleaved import Timed, interleaved

MAIN = "from torch_parity.compare.start import main; main()"
PARITY = f"import sys; sys.argv = ['parity', '--help']; {MAIN}"
COMMANDS = {
    "import torch": "import torch",
    "parity check --data moons": f"import sys; sys.argv[1:] = 'check --data moons'.split(); {MAIN}",
    "parity train": f"import sys; sys.argv[1:] = ['train']; {MAIN}",
}


def startup(rounds: int) -> dict[str, Timed]:
    """Seconds of `python -c pass`, `parity --help`, and of importing NumPy and torch alone."""
    starts = {
        "python": "pass",
        "parity --help": PARITY,
        "import numpy": "import numpy",
        "import torch": "import torch",
    }
    return interleaved({name: _start(code) for name, code in starts.items()}, rounds)


def processor_time(rounds: int) -> dict[str, float]:
    """Seconds that the processor worked for each of COMMANDS, whatever else it had to do."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, code in COMMANDS.items():
            with tempfile.TemporaryDirectory() as folder:
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                _start(code, folder)()
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {name: median(seconds) for name, seconds in taken.items()}


def _start(code: str, folder: str | None = None) -> Callable[[], object]:
    command = [sys.executable, "-c", code]
    return lambda: subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    )
