"""`parity board` as a process of its own, for tests that talk to it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BOARD = (sys.executable, "-c", "from torch_parity.compare.cli import main; main()", "board")


@contextmanager
def started(root: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], list[str], str]]:
    """The process, all that it said up to how to stop it, and its address."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    command = [*BOARD, *args, "--runs", str(root)]
    with subprocess.Popen(
        command, text=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            assert process.stdout is not None
            said: list[str] = []
            while not said or "Ctrl-C" not in said[-1]:
                line = process.stdout.readline()
                assert line, f"ended early, having said {said}"
                said.append(line.rstrip("\n"))
            address = re.search(r"http://[\w.]+:\d+/\S*", "\n".join(said))
            assert address, said
            yield process, said, address[0]
        finally:
            process.kill()
