"""Ctrl-C while a command is still importing torch: one line and status 130, never a traceback."""

import subprocess
import sys

import pytest

# Whoever imports this module is stopped by a signal in the middle of it.
SCRIPT = """
import os, signal, sys

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {at!r}:
            {how}

sys.meta_path.insert(0, Stop())
sys.argv = ["parity", *{args!r}]
from torch_parity.compare.cli import main
main()
"""


SIGNAL = "signal.raise_signal(signal.SIGINT)"
# as C code does that is stopped in its initialization, and as __del__ does
ANOTHER_ERROR = f"""
            try:
                {SIGNAL}
            except BaseException:
                raise ImportError("initialization failed")"""
SWALLOWED = ANOTHER_ERROR.replace("raise ImportError", "print")


def stopped(at: str, how: str, *args: str) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(at=at, how=how, args=args)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("command", "at"),
    [("train", "torch"), ("check", "torch.nn"), ("train", "torch_parity.compare.sources.pair")],
)
def test_ctrl_c(command: str, at: str) -> None:
    done = stopped(at, SIGNAL, command)
    assert done.stderr == "parity: stopped by Ctrl-C\n"
    assert (done.returncode, done.stdout) == (130, "")


@pytest.mark.parametrize("how", [ANOTHER_ERROR, SWALLOWED], ids=["another error", "swallowed"])
def test_whatever_the_import_makes_of_it(how: str) -> None:
    done = stopped("torch.nn", how, "check", "--data", "nowhere.csv")
    assert done.stderr == "parity: stopped by Ctrl-C\n"
    assert done.returncode == 130


def test_ctrl_c_twice() -> None:
    done = stopped("torch.nn", f"{SWALLOWED}\n            {SIGNAL}", "check")
    assert done.stderr == "parity: stopped by Ctrl-C\n"
    assert done.returncode == 130
