"""Every lesson, in both languages, and every example as an executed notebook of the site.

A lesson runs once: what its cells print and measure is kept for its page, which shows the same.
"""

import os
import re
from functools import partial
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book import computed, kernels, notebook
from book.page import Page
from book.words import WORDS
from torch_parity.lessons import LESSONS

ROOT = Path(__file__).parent.parent
LANGUAGES = ("en", "zh")


def examples() -> list[str]:
    """The scripts of examples/ that need nothing else: no argument, and no other framework."""
    scripts = (p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "examples").rglob("*.py")))
    return [path for path in scripts if "argv" not in (ROOT / path).read_text("utf-8")]


def lesson_page(name: str, language: str = "en") -> Page:
    """The page of a lesson."""
    return Page(f"docs/lessons/{name}{'.zh' if language == 'zh' else ''}.md")


def site_of(path: str) -> str | None:
    """Where the notebook of a page or of a script stands in the site, if it has one."""
    lessons = {lesson_page(name, language).path for name in LESSONS for language in LANGUAGES}
    if path in lessons:
        return f"{Page(path).site.removesuffix('.md')}.ipynb"
    return f"source/{path.removesuffix('.py')}.ipynb" if path in examples() else None


def write_all(out: Path) -> int:
    """Run all notebooks, or take what is kept of them, and write them -> how many there are."""
    made = {path: {"en": notebook.of_script(path)} for path in examples()}
    made |= {name: notebooks_of(name) for name in LESSONS}
    run_and_fill(made)
    for name, by_language in made.items():
        for language, node in by_language.items():
            path = lesson_page(name, language).path if name in LESSONS else name
            file = out / str(site_of(path))
            file.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(node, file)
    return sum(len(by_language) for by_language in made.values())


def with_link(page: Page, text: str) -> str:
    """The rendered page with a link to its notebook below the heading, if it has one."""
    if not (place := site_of(page.path)):
        return text
    folder, name = Path(place).parent, Path(place).name
    how = os.path.relpath("how-to/notebooks.md", folder).replace(os.sep, "/")
    file = name.replace(".zh.", ".")  # which the site has for each language
    link = WORDS[page.language]["open"].format(file=file, name=name, how=how)
    return re.sub(r"^# .*$", lambda heading: f"{heading[0]}\n\n{link}", text, count=1, flags=re.M)


def notebooks_of(name: str) -> dict[str, NotebookNode]:
    """The notebooks of a lesson by language, not yet run."""
    return {language: notebook.of_page(lesson_page(name, language)) for language in LANGUAGES}


def run_and_fill(made: dict[str, dict[str, NotebookNode]]) -> None:
    """Give the cells of each lesson and example their outputs, or those that are kept.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
        ValueError: the languages of a lesson have different blocks of code.
    """
    steps = {name: _steps(name, by_language) for name, by_language in made.items()}
    sources = {name: [source for source, _ in steps[name]] for name in made}
    keys = {name: computed.key_of(f"notebook-{Path(name).stem}", sources[name]) for name in made}
    ran = kernels.run_all({n: sources[n] for n in made if not computed.is_kept(keys[n])})
    for name, by_language in made.items():
        outputs = computed.kept(keys[name], partial(ran.__getitem__, name))
        for (_, cells), found in zip(steps[name], outputs, strict=True):
            for cell in cells:
                cell.outputs = [nbformat.from_dict(output) for output in found]
        for node in by_language.values():
            _number(node)
        if name in LESSONS:
            _keep_printed(lesson_page(name), by_language["en"])


def _steps(name: str, by_language: dict[str, NotebookNode]) -> list[tuple[str, list[NotebookNode]]]:
    """What is to run, in order, and the cells that show it: the same cell of both languages runs
    once; the numbers of a lesson are kept for its page."""
    code = ([c for c in node.cells if c.cell_type == "code"] for node in by_language.values())
    steps = []
    for row in zip(*code, strict=True):
        different = dict.fromkeys(cell.source for cell in row)
        steps += [(source, [c for c in row if c.source == source]) for source in different]
        if notebook.MEASURE in row[0].metadata.get("tags", ()):
            keep = f"from book import computed; computed.keep_lesson({name!r}, measured)"
            steps.append((keep, []))
    return steps


def _number(node: NotebookNode) -> None:
    """The numbers that the cells would have if the notebook had run on its own."""
    for number, cell in enumerate((c for c in node.cells if c.cell_type == "code"), start=1):
        cell.execution_count = number
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number


def _keep_printed(page: Page, node: NotebookNode) -> None:
    ran = [cell for cell in node.cells if notebook.BLOCK in cell.metadata.get("tags", ())]
    printed = ["".join(o.text for o in cell.outputs if o.get("name") == "stdout") for cell in ran]
    computed.keep_outputs((ROOT / page.path).read_text("utf-8"), printed)
