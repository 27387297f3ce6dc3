"""Every code block and command of the book runs, and prints what the page says it prints."""

import json
import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from book import blocks

ROOT = Path(__file__).parents[1]
PAGES = [p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").rglob("*.md"))]
ENGLISH = [p for p in PAGES if not p.endswith(".zh.md")]
WITH_CODE = [p for p in ENGLISH if any(b.runs for b in blocks.find((ROOT / p).read_text("utf-8")))]
SHORTHAND = re.compile(r"<!-- *(\w+)(?:: *([^|>]*?))? *(?:\|[^>]*)?-->")


def check(page: str) -> int:
    """Run a page and hold it to its ```text blocks -> how many there were."""
    printed = dict(blocks.execute(page))
    compared, last = 0, None
    for block in blocks.find(page):
        if block.language in ("", "text"):
            assert last in printed, f"line {block.line}: this text follows no code"
            assert block.text == printed[last], f"line {block.line}"
            compared += 1
        elif block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "ini":
            ConfigParser().read_string(block.text)
        elif block.language == "yaml":
            yaml.safe_load(block.text)
        else:
            assert block.runs or block.language == "math", f"line {block.line}: {block.language}"
        last = block
    return compared


LONG = {
    f"docs/{name}.md"
    for name in (
        "distributed", "your-own-code", "how-to/ci", "how-to/dashboard", "how-to/grids",
        "how-to/pytest", "lessons/transformer",
    )
}  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow) if path in LONG else path for path in WITH_CODE],
)
@pytest.mark.every(2)
def test_every_block_runs_and_prints_what_the_page_says(path: str) -> None:
    check((ROOT / path).read_text("utf-8"))


def test_pages_without_code_show_no_output() -> None:
    for path in set(ENGLISH) - set(WITH_CODE):
        assert not blocks.find((ROOT / path).read_text("utf-8")), path


@pytest.mark.parametrize("path", sorted(set(PAGES) - set(ENGLISH)))
def test_a_translation_has_the_code_and_the_shorthands_of_the_original(path: str) -> None:
    """So what is run in English holds in Chinese, and a change on one page alone is seen."""
    original, translated = (
        (ROOT / p).read_text("utf-8") for p in (path.replace(".zh.md", ".md"), path)
    )

    def code(text: str) -> list[tuple[str, str, str]]:
        return [(b.language, b.title, b.text) for b in blocks.find(text)]

    assert code(translated) == code(original)
    assert SHORTHAND.findall(translated) == SHORTHAND.findall(original)


@pytest.mark.parametrize("page", ["pytest.md", "pytest.zh.md", "ci.md"])
def test_a_page_that_runs_pytest_installs_it(page: str) -> None:
    """torch-parity does not require it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert not any(needed.startswith("pytest") for needed in project["dependencies"])
    text = (ROOT / "docs" / "how-to" / page).read_text("utf-8")
    assert re.search(r"pip install( \S+)* pytest\b", text)


PAGE = """
```python
print(1 + 1)
```

```text
2
```

    ```sh
    parity lesson nothing  # exit status 2
    echo $PWD > here; ls
    ```
"""


def test_a_page_that_is_right_passes() -> None:
    assert check(PAGE) == 1
    found = blocks.find(PAGE)
    assert [b.language for b in found] == ["python", "text", "sh"]
    assert found[2].text.startswith("parity")
    outputs = [printed for _, printed in blocks.execute(PAGE)]
    assert outputs[0] == "2\n"
    assert outputs[1].split() == ["examples", "here"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("\n2\n", "\n3\n"),
        ("print(1 + 1)", "print(1 + )"),
        ("print(1 + 1)", "print(missing)"),
        ("status 2", "status 1"),
        ("nothing", "forward --no-such-option"),
        ("ls", "ls no-such-file"),
        ("```text", "```ruby"),
        ("```python\nprint(1 + 1)\n```", ""),
    ],
)
def test_a_page_that_is_wrong_fails(right: str, wrong: str) -> None:
    assert right in PAGE
    page = PAGE.replace(right, wrong, 1)
    if wrong.startswith("forward"):
        page = page.replace("  # exit status 2", "")
    with pytest.raises((AssertionError, NameError, SyntaxError)):
        check(page)
