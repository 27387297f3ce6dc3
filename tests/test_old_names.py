"""No text names a module or a folder by where it was before the project had one import name."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = "manual|torch_ref|compare|lessons"
# CHANGELOG.md is history; the tests write old names, and names of no file, on purpose.
NOT_SEARCHED = (
    "CHANGELOG.md",
    "tests/test_old_names.py",
    "tests/test_package.py",
    "tests/test_book.py",
)

# A path in a link of a page is checked by mkdocs; these are the ones in prose, code and comments.
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./]*)`|\b((?:{FOLDERS})/(?:\w+/)*\w+\.py)\b")
OLD = (
    re.compile(rf"-m (?:{FOLDERS})\b"),
    re.compile(rf"^\s*(?:from (?:{FOLDERS})[\w.]* import|import (?:{FOLDERS}))\b"),
    re.compile(r"(?<![\w./])torch_ref\.distributed\b"),
    re.compile(
        r"(?<![\w./])compare\.(?:check|given|Case|cli|commands|judge|ranks|pytest_plugin)\b"
    ),
    re.compile(r"\bcompare/(?:judging|own|modules|files|reports)\b"),
)


def old_names(text: str) -> list[str]:
    """The lines of a text that use an old name, or name a file that is not there."""
    return [line.strip() for line in text.splitlines() if is_old(line)]


def is_old(line: str) -> bool:
    paths = ["".join(found) for found in PATH.findall(line)]
    return any(old.search(line) for old in OLD) or not all((ROOT / p).exists() for p in paths)


def searched() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", "*.yml", "*.sh", "*.c", "Makefile", ".ci"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [p for p in listed.stdout.splitlines() if p not in NOT_SEARCHED]
    return [ROOT / p for p in paths if (ROOT / p).exists()]


def test_no_text_uses_an_old_name() -> None:
    files = searched()
    assert {ROOT / "README.md", ROOT / "docs" / "causes.md"} <= set(files)
    said = {str(f.relative_to(ROOT)): old_names(f.read_text("utf-8")) for f in files}
    assert {file: lines for file, lines in said.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "torchrun -m torch_ref.distributed shards",
        "python -m compare train",
        "from compare import check",
        "import manual",
        "see compare.ranks.judge_run",
        "An entry in `compare/judging/causes/`.",
        "# says manual/linear.py",
    ],
)
def test_an_old_name_is_seen(line: str) -> None:
    assert old_names(f"Some words.\n{line}\n") == [line]


@pytest.mark.parametrize(
    "line",
    [
        "torchrun -m torch_parity.torch_ref.distributed shards",
        "from torch_parity.compare.case import Case",
        "t = pair.manual.step(params, state, x, y, masks)",
        "An entry in `compare/causes/`.",
        "# says manual/ops/linear.py",
    ],
)
def test_a_name_of_today_is_let_through(line: str) -> None:
    assert old_names(line) == []
