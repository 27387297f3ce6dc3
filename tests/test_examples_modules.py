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
    first, second, last = ran.stdout.strip().split("\n\n")
    assert first.startswith("FAIL")
    assert "layers.2, forward, port.py:" in first, "dropout is where the two part first"
    assert "FAIL" in second
    assert "addmm(layers.3.bias, relu of layers.1, layers.3.weight)" in second
    assert "PASS 8 of 8 results" in last
