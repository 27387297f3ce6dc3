"""The start-up time of a command, compared with starting Python."""

import subprocess
import sys
from collections.abc import Callable

from benchmarks.interleaved import Timed, interleaved

MAIN = "from torch_parity.compare.cli import main; main()"
PARITY = f"import sys; sys.argv = ['parity', '--help']; {MAIN}"


def startup(rounds: int) -> dict[str, Timed]:
    """Seconds of `python -c pass`, `parity --help`, and of importing NumPy and torch alone."""
    starts = {
        "python": "pass",
        "parity --help": PARITY,
        "import numpy": "import numpy",
        "import torch": "import torch",
    }
    return interleaved({name: _start(code) for name, code in starts.items()}, rounds)


def _start(code: str) -> Callable[[], object]:
    command = [sys.executable, "-c", code]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
