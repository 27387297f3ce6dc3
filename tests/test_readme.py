"""The first page keeps its word: every command runs, and what it shows is what comes out."""

import re
from pathlib import Path

from book import blocks

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = blocks.find(README)


def test_every_command_runs_and_every_example_prints_what_stands_below_it() -> None:
    printed = list(blocks.execute(README))
    assert [block.language for block, _ in printed] == ["python", "sh"]
    (example, verdict), (commands, _) = printed
    assert BLOCKS[BLOCKS.index(example) + 1].text == verdict
    assert len(commands.text.splitlines()) >= 6


def test_make_has_what_is_asked_of_it() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    asked = set(re.findall(r"make (\w+)", README)) - {"it"}
    assert {"demo", "test", "docs"} <= asked <= targets


def test_links_and_pictures_are_there() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", README + contributing)
    assert len(links) >= 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_two_screens() -> None:
    assert len(README.splitlines()) <= 100
