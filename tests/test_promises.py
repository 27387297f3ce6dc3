"""Each promise of docs/promises.md names tests, and these exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/promises.md").read_text("utf-8")
NAMED = re.findall(r"\[(tests/[\w./]+\.py::[\w:]+)\]", PAGE)


@cache
def names_in(file: str) -> set[str]:
    """test_a, and TestB::test_c of a class."""
    found = set()
    for node in ast.parse((ROOT / file).read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            methods = (m for m in node.body if isinstance(m, ast.FunctionDef))
            found |= {f"{node.name}::{method.name}" for method in methods}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return found


@pytest.mark.parametrize("named", dict.fromkeys(NAMED))
def test_the_named_test_exists(named: str) -> None:
    file, _, name = named.partition("::")
    assert (ROOT / file).is_file()
    assert name in names_in(file)
    assert name.rpartition("::")[2].startswith("test_")


def test_every_promise_names_one() -> None:
    """Each item of the three lists."""
    items = re.findall(r"^- (.*?)(?=^- |^$)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(items) > 15
    assert [item for item in items if "[tests/" not in item] == []
