"""The examples of ported modules run as their READMEs say, and name the mistakes."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def printed(script: Path, folder: Path) -> list[str]:
    """What it prints, by paragraph."""
    ran = subprocess.run(
        [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip().split("\n\n")


def test_the_port_is_found_out_and_passes_once_mended(tmp_path: Path) -> None:
    first, second, last = printed(EXAMPLES / "module_port" / "port.py", tmp_path)
    assert first.startswith("FAIL")
    assert "layers.2, forward, port.py:" in first, "dropout is where the two part first"
    assert "FAIL" in second
    assert "addmm(layers.3.bias, relu of layers.1, layers.3.weight)" in second
    assert "PASS 8 of 8 results" in last


@pytest.mark.slow
def test_the_training_shows_the_wrong_step_and_passes_once_mended(tmp_path: Path) -> None:
    wrong, right = printed(EXAMPLES / "train_side_by_side" / "train.py", tmp_path)
    assert wrong.startswith("FAIL 1 of 20 steps judged")
    assert "First difference: new b1 at" in wrong
    assert "b1 is updated with weight_decay=0.1 in port and weight_decay=0 in original" in wrong
    assert "PASS 20 of 20 steps judged" in right
    for run in ("decayed", "right"):
        assert (tmp_path / "runs" / run / "report.html").is_file()
