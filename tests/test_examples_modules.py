"""The example of a ported module runs as its README says, and names both mistakes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_port_is_found_out_and_passes_once_mended() -> None:
    ran = subprocess.run(
        [sys.executable, "examples/module_port/port.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert "FAIL given mix.weight" in ran.stdout
    causes = [line for line in ran.stdout.splitlines() if line.startswith("Cause: ")]
    assert causes == [
        "Cause: mix.weight of port is that of original transposed: copy original.mix.weight, not "
        "its .T.",
        "Cause: drop is in training mode in port: call port.eval() (or original.train(), if both "
        "are to train).",
    ]
    assert ran.stdout.rstrip().endswith("Mended: PASS 29 tensors match")
