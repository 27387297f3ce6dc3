"""Texts that are compared as a whole with a file in tests/golden.

Tests assert statuses and fields; the wording of reports and messages stands in these files, so that
a better sentence changes one file. `pytest --update-golden` writes what the tests print now; review
the change with `git diff tests/golden`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "golden"
REMEDY = "If the new text is right:  pytest -p no:xdist --update-golden"
TEMPORARY = re.compile(r"[^\s'\"]*/pytest-of-[^/]+/pytest-\d+/(popen-gw\d+/)?[^/\s'\",:;)]+")
SECTION = re.compile(r"^== (.*)\n", re.MULTILINE)

NUMBER = re.compile(r"((?<![\w.])-)?\d+(,\d{3})*(\.\d+)*(e[+-]?\d+)?")
VERDICTS = ("PASS", "FAIL", "INTERRUPTED")
MADE_WITH = re.compile(r"^Made with .*$", re.MULTILINE)


@dataclass(frozen=True)
class Golden:
    """Compares texts with those in tests/golden; with update it writes them instead."""

    test: str
    update: bool

    def whole(self, name: str, text: str) -> None:
        """The text must be that of tests/golden/NAME.txt."""
        file = FOLDER / f"{name}.txt"
        text = _without_folders(text)
        if self.update:
            file.write_text(text, "utf-8")
        expected = file.read_text("utf-8") if file.exists() else ""
        assert text == expected, f"not the text in tests/golden/{file.name}. {REMEDY}"

    def section(self, name: str, text: str) -> None:
        """The text must be that of this test's section in tests/golden/NAME.txt."""
        file = FOLDER / f"{name}.txt"
        sections = _sections(file)
        text = _without_folders(text).strip() + "\n"
        if self.update:
            sections[self.test] = text
            parts = (f"== {test}\n{sections[test]}" for test in sorted(sections))
            file.write_text("\n".join(parts), "utf-8")
        expected = sections.get(self.test, "")
        assert text == expected, f"not the text in tests/golden/{file.name}. {REMEDY}"


def _sections(file: Path) -> dict[str, str]:
    """Test -> text. Sections begin with a line "== TEST"."""
    if not file.exists():
        return {}
    _, *parts = SECTION.split(file.read_text("utf-8"))
    texts = (text.strip() + "\n" for text in parts[1::2])
    return dict(zip(parts[::2], texts, strict=True))


def _without_folders(text: str) -> str:
    """The text with TMP for the temporary folder of a test."""
    return TEMPORARY.sub("TMP", text)


def masked(text: str) -> str:
    """The text with # for numbers (also in names: rounding decides in which layer a difference is
    greatest), single blanks, and no lines of a table's frame."""
    text = MADE_WITH.sub("Made with VERSIONS", NUMBER.sub("#", _without_folders(text)))
    lines = (re.sub(r" +", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line.strip("─ ")) + "\n"


def verdict(out: str) -> str:
    """The report from its verdict on, masked."""
    return masked(out[min(at for at in map(out.find, VERDICTS) if at >= 0) :])


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares a text of this test with tests/golden."""
    name = request.node.nodeid.partition("::")[2]
    return Golden(name, request.config.getoption("--update-golden"))
