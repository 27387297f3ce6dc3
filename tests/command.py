"""Run the `parity` command in the process of the test: importing torch takes seconds."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from torch_parity.compare.cli import main


@dataclass(frozen=True)
class Ended:
    """The exit status of a command, and what it printed to stdout and stderr."""

    status: int
    out: str
    err: str


def parity(*args: str) -> Ended:
    """Run `parity ARGS` as the console command does, and return how it ended."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["parity", *args])
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Ended(status, out.getvalue(), err.getvalue())


def refusal(ended: Ended, after_output: bool = False) -> str:
    """The message of a command that refused its input: status 2, at most two lines, no results
    (unless it failed later, after_output).

    click's own messages on how to use the command may have four lines.
    """
    assert ended.status == 2, ended
    assert after_output or ended.out == "", "stdout is for results"
    assert "Traceback" not in ended.err
    said = ended.err.lstrip("\n")  # a progress bar that is not shown leaves an empty line
    lines = said.splitlines()
    by_click = any(line.startswith("Error: ") for line in lines)
    assert by_click or said.startswith("parity: ")
    assert len(lines) <= (4 if by_click else 2)
    return said
