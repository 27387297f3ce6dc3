"""Turns a lesson's page, or a script of examples/, into a notebook that has not yet been run.

A page's prose stays Markdown, each ```python block is a cell, and what the page inserts from the
lesson (tables, pictures, the conclusion) is a cell that shows it. Answers to exercises are folded.
"""

import ast
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book import blocks, shorthand
from book.page import COMMENT, Page, split
from book.shorthand import Here
from book.words import WORDS

ROOT = Path(__file__).parent.parent
FOLDED = re.compile(r'^\?\?\? \w+ "([^"]*)"\n((?:(?: {4}.*)?\n)+)', re.M)
WHOLE_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}

# Tags: a block of the page, and the cell that measures the lesson.
BLOCK, MEASURE = "block", "measure"


def of_page(page: Page) -> NotebookNode:
    """The notebook of a page of docs/lessons.

    Raises:
        KeyError: a comment is no shorthand that a notebook can show.
    """
    text = (ROOT / page.path).read_text("utf-8")
    here = Here(page.language, text, page.site)
    cells, at = [], 0
    for match in FOLDED.finditer(text):
        cells += _cells(here, text[at : match.start()])
        _fold(cells, here, match[1], textwrap.dedent(match[2]))
        at = match.end()
    cells += _cells(here, text[at:])
    title, _, rest = cells[0].source.partition("\n\n")
    cells[0].source = f"{title}\n\n{here.word('notebook needs')}\n\n{rest}"
    return _complete(cells)


def of_script(path: str) -> NotebookNode:
    """The notebook of a script: its docstring as Markdown, each paragraph of code as a cell."""
    said, *cells = jupytext.reads((ROOT / path).read_text("utf-8"), "py:light").cells
    needs, text = WORDS["en"]["notebook needs"], ast.literal_eval(said.source)
    return _complete([new_markdown_cell(f"# {path}\n\n{text}\n\n{needs}"), *cells])


def _complete(cells: list[NotebookNode]) -> NotebookNode:
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # by default it is random, and every build would differ
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def _cells(here: Here, text: str) -> list[NotebookNode]:
    cells: list[NotebookNode] = []
    for is_code, part in split(text):
        if is_code:
            (block,) = blocks.find(part)
            as_cell = block.language == "python"
            cells.append(_code(block.text, BLOCK) if as_cell else new_markdown_cell(part))
            continue
        at = 0
        for match in COMMENT.finditer(part):
            cells.append(_prose(here, part[at : match.start()]))
            cells += SHOWN[match[2]](here, " ".join((match[3] or "").split()))
            at = match.end()
        cells.append(_prose(here, part[at:]))
    return _joined(cells)


def _joined(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Without empty cells, and Markdown that follows Markdown in one cell."""
    kept: list[NotebookNode] = []
    for cell in cells:
        if not cell.source:
            continue
        if kept and kept[-1].cell_type == cell.cell_type == "markdown":
            kept[-1].source += f"\n\n{cell.source}"
        else:
            kept.append(cell)
    return kept


def _fold(cells: list[NotebookNode], here: Here, title: str, text: str) -> None:
    """Append what a page folds away: words in <details>, cells without their code. Of an output
    alone, hide that of the last cell."""
    inside = _cells(here, text)
    if not inside:
        cells[-1].metadata["jupyter"] = {"outputs_hidden": True}
        return
    for cell in inside:
        if cell.cell_type == "code":
            cell.metadata["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
        else:
            cell.source = f"<details><summary>{title}</summary>\n\n{cell.source}\n\n</details>"
    if inside[0].cell_type == "code":
        inside.insert(0, new_markdown_cell(here.word("folded").format(title=title)))
    cells += inside


def _code(text: str, *tags: str) -> NotebookNode:
    return new_code_cell(text.strip("\n"), metadata={"tags": list(tags)} if tags else {})


def _prose(here: Here, text: str) -> NotebookNode:
    """Markdown as notebooks have it: formulas between $$, links to other notebooks alone."""
    text = blocks.FENCE.sub(lambda m: "\n\n".join(f"$${t}$$" for t in m[3].splitlines()), text)
    return new_markdown_cell(_linked(here, text).strip("\n"))


def _linked(here: Here, text: str) -> str:
    ending = ".zh.ipynb" if here.language == "zh" else ".ipynb"  # as the files are downloaded

    def turned(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if ":" in target or target.startswith("#"):
            return match[0]
        file = target.partition("#")[0]
        of_lesson = "/" not in file and file.endswith(".md") and file != "index.md"
        return f"[{words}]({file.removesuffix('.md')}{ending})" if of_lesson else words

    return WHOLE_LINK.sub(turned, text)


def _twins(here: Here, arguments: str) -> list[NotebookNode]:
    return [new_markdown_cell(_linked(here, "\n\n".join(shorthand.both(here, arguments))))]


def _source(here: Here, arguments: str) -> list[NotebookNode]:
    return [new_markdown_cell(_linked(here, shorthand.code(here, arguments)))]


def _remedies(here: Here, arguments: str) -> list[NotebookNode]:
    names = [name.strip() for name in arguments.split(",")]
    parts = [shorthand.remedy(here, name) for name in names]
    see = here.word("see it judged").format(name=names[0])
    return [new_markdown_cell(_linked(here, "\n\n".join([*parts, see])))]


def _measured(here: Here, lesson: str) -> list[NotebookNode]:
    """The cell that runs the lesson, before the first cell that shows something of it."""
    if MEASURE in here.linked:
        return []
    here.linked.add(MEASURE)
    lines = (
        "%matplotlib inline",
        "from torch_parity.lessons import find",
        "",
        f'lesson = find("{lesson}")',
        "measured = lesson.measured(seed=0)",
    )
    return [_code("\n".join(lines), MEASURE)]


def _tables(here: Here, lesson: str) -> list[NotebookNode]:
    every = "measured.tables"
    chinese = f"(table.chinese() for table in {every})"
    shown = chinese if here.language == "zh" else every
    return [*_measured(here, lesson), _code(f"display(*{shown})")]


def _picture(here: Here, arguments: str) -> list[NotebookNode]:
    lesson, name = arguments.partition("|")[0].split()
    return [*_measured(here, lesson), _code(f'measured.figures["{name}"]')]


def _conclusion(here: Here, lesson: str) -> list[NotebookNode]:
    every = "lesson.conclusion(measured.numbers)"
    chinese = f"(claim.chinese() for claim in {every})"
    shown = chinese if here.language == "zh" else every
    return [*_measured(here, lesson), _code(f'print(*{shown}, sep="\\n")')]


SHOWN: dict[str, Callable[[Here, str], list[NotebookNode]]] = {
    "twins": _twins,
    "code": _source,
    "mistakes": _remedies,
    "tables": _tables,
    "picture": _picture,
    "conclusion": _conclusion,
    "output": lambda here, arguments: [],  # a cell has its output
}
