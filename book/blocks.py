"""The code blocks of a page: they are run in order, and their output is compared with the page."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch_parity.compare import threads
from torch_parity.compare.cli import main

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^( *)```([^`\n]*)\n(.*?)^\1``` *$", re.M | re.S)
STATUS = re.compile(r"\s+# exit status (\d+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language (with or without title="..."), its text and its line."""

    language: str
    title: str
    text: str
    line: int
    end: int

    @property
    def runs(self) -> bool:
        """Whether it is code to run."""
        return self.language in ("python", "sh")


def find(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(page):
        language, _, rest = match[2].strip().partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        text = textwrap.dedent(match[3])
        line = page.count("\n", 0, match.start()) + 1
        found.append(Block(language, title[1] if title else "", text, line, match.end()))
    return found


def execute(page: str) -> Iterator[tuple[Block, str]]:
    """Each code block with its output; all blocks of a page share variables and a folder.

    Raises:
        AssertionError: a command ended with another status than the page says.
    """
    names: dict[str, Any] = {"__name__": "page"}
    with tempfile.TemporaryDirectory() as folder, threads.limited(1):
        shutil.copytree(ROOT / "examples", Path(folder, "examples"))
        for block in find(page):
            if block.title:
                Path(folder, block.title).write_text(block.text, "utf-8")
            elif block.runs:
                with _inside(folder) as printed:
                    if block.language == "python":
                        exec(compile(block.text, "example.py", "exec"), names)
                    else:
                        for command in block.text.splitlines():
                            _command(command)
                yield block, printed.getvalue()


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[io.StringIO]:
    width = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    printed = io.StringIO()
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            yield printed
    finally:
        os.environ.pop("COLUMNS")
        if width is not None:
            os.environ["COLUMNS"] = width


def _command(line: str) -> None:
    """Run `parity ...` in this process, which has torch loaded; run anything else in the shell."""
    status = STATUS.search(line)
    expected = int(status[1]) if status else 0
    words = shlex.split(line, comments=True)
    if not words:
        return
    came = _parity(words) if words[0] == "parity" else _shell(line)
    assert came == expected, f"{line!r} left with status {came}"


def _parity(words: list[str]) -> int:
    before, sys.argv = sys.argv, words
    try:
        main()
    except SystemExit as left:
        return int(left.code or 0)
    finally:
        sys.argv = before
    return 0


def _shell(line: str) -> int:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    ran = subprocess.run(line, shell=True, env=environment, capture_output=True, text=True)
    sys.stdout.write(ran.stdout + ran.stderr)
    return ran.returncode
