"""The computed parts of pages: lessons, planted mistakes, printed output. Each is kept in
build/cache, under the content of every source file that it depends on."""

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from book import blocks
from torch_parity.compare.commands import faults
from torch_parity.lessons import LESSONS
from torch_parity.lessons.lesson import Measured

ROOT = Path(__file__).parent.parent
CACHE = ROOT / "build" / "cache"
SOURCES = ("manual", "torch_ref", "compare", "lessons", "examples")
OWN = ("blocks.py", "computed.py")  # the files of book/ that compute
LIBRARIES = ("numpy", "torch", "matplotlib", "scikit-learn", "rich")


@cache
def folder() -> Path:
    """The folder of the results for these sources and libraries."""
    key = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    for package in SOURCES:
        for file in sorted((ROOT / package).rglob("*")):
            if file.suffix in (".py", ".c"):
                key.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    for name in OWN:
        key.update(Path(__file__).with_name(name).read_bytes())
    place = CACHE / key.hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    return place


def kept(name: str, compute: Callable[[], Any]) -> Any:
    """What was computed under this name from these sources; it is computed now if it was not."""
    file = folder() / f"{name}.json"
    if not file.exists():
        made = file.with_suffix(f".{os.getpid()}")  # others may be reading
        made.write_text(json.dumps(compute(), ensure_ascii=False), "utf-8")
        made.replace(file)
    return json.loads(file.read_text("utf-8"))


def lesson(name: str) -> dict[str, Any]:
    """tables, claims and pictures (file names in `folder()`) of a lesson.

    Raises:
        KeyError: there is no such lesson.
    """
    return kept(f"lesson-{name}", lambda: _parts(name, LESSONS[name].measured()))


def keep_lesson(name: str, measured: Measured) -> None:
    """Keep what the lesson's notebook has measured, for its page."""
    kept(f"lesson-{name}", lambda: _parts(name, measured))


def _parts(name: str, measured: Measured) -> dict[str, Any]:
    pictures = {}
    for title, figure in measured.figures.items():
        pictures[title] = f"{name}-{title}.png"
        figure.savefig(folder() / pictures[title], dpi=110)
    return {
        "tables": [asdict(table) for table in measured.tables],
        "claims": [asdict(claim) for claim in LESSONS[name].conclusion(measured.numbers)],
        "pictures": pictures,
    }


def fault(name: str) -> dict[str, str]:
    """The judge's report on a planted mistake: the output of `parity faults NAME`, and the verdict.

    Raises:
        InputError: there is no such cause.
    """
    return kept(f"fault-{name}", lambda: _judge(name))


def _judge(name: str) -> dict[str, str]:
    printed = io.StringIO()
    faults.show(Console(file=printed, width=100), name, "manual")
    whole = printed.getvalue()
    return {"whole": whole, "short": whole[whole.index("FAIL") : whole.index("Planted: ")]}


def outputs(page: str) -> list[str]:
    """The output of each code block of a page, in order."""
    return kept(_of(page), lambda: [printed for _, printed in blocks.execute(page)])


def keep_outputs(page: str, printed: list[str]) -> None:
    """Keep what the blocks of a page have printed in its notebook."""
    kept(_of(page), lambda: printed)


def _of(page: str) -> str:
    return key_of("page", [f"{b.language} {b.title} {b.text}" for b in blocks.find(page)])


def key_of(what: str, texts: list[str]) -> str:
    """A name under which to keep what follows from these texts."""
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return f"{what}-{digest[:16]}"


def is_kept(name: str) -> bool:
    """Whether something is kept under this name."""
    return (folder() / f"{name}.json").exists()
