"""Lessons and examples as notebooks: what their pages hold, run by nbclient.

`make docs` runs all of them, and stops at a cell that raises; tests/test_site.py looks at what it
wrote.
"""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from book import blocks, computed, kernels, notebook, notebooks
from torch_parity.lessons import LESSONS

ROOT = Path(__file__).parents[1]


def code(node: NotebookNode, tag: str = "") -> list[NotebookNode]:
    cells = [cell for cell in node.cells if cell.cell_type == "code"]
    return [cell for cell in cells if not tag or tag in cell.metadata.get("tags", ())]


@pytest.mark.parametrize("name", LESSONS)
def test_a_notebook_holds_what_its_page_holds(name: str) -> None:
    for language, node in notebooks.notebooks_of(name).items():
        nbformat.validate(node)
        page = (ROOT / notebooks.lesson_page(name, language).path).read_text("utf-8")
        asked = [block.text.strip() for block in blocks.find(page) if block.language == "python"]
        assert [cell.source for cell in code(node, notebook.BLOCK)] == asked
        (measure,) = code(node, notebook.MEASURE)
        assert f'find("{name}")' in measure.source
        shown = [cell.source for cell in code(node)]
        for picture in re.findall(r"<!-- picture: \S+ (\S+)", page):
            assert f'measured.figures["{picture}"]' in shown
        prose = "\n".join(cell.source for cell in node.cells if cell.cell_type == "markdown")
        for heading in re.findall(r"^#+ .*$", page, re.M):
            assert heading in prose
        for rest in ("<!--", "???", "```math", ".md)", ".py)"):
            assert rest not in prose


def test_answers_are_folded() -> None:
    node = notebooks.notebooks_of("dropout")["en"]
    folded = [cell.metadata.get("jupyter", {}) for cell in code(node, notebook.BLOCK)]
    shown, answer = {}, {"source_hidden": True, "outputs_hidden": True}
    assert folded == [shown, answer, {"outputs_hidden": True}, answer, shown, answer]
    words = [cell.source for cell in node.cells if "torch.no_grad()` only stops" in cell.source]
    assert words[0].startswith("<details><summary>An answer</summary>")


def test_a_script_becomes_cells() -> None:
    node = notebook.of_script("examples/student/student.py")
    text = (ROOT / "examples/student/student.py").read_text("utf-8")
    assert "A student's training step with three mistakes." in node.cells[0].source
    words = "".join("".join(cell.source for cell in code(node)).split())
    assert words in "".join(text.split())
    assert code(node)[0].source == "import numpy as np"


def test_every_example_that_runs_alone_is_listed() -> None:
    page = (ROOT / "docs/how-to/notebooks.md").read_text("utf-8")
    listed = re.findall(r"\]\(\.\./\.\./(examples/\S+)\)", page)
    assert sorted(listed) == sorted(notebooks.examples())


@pytest.fixture(scope="module")
def forward(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NotebookNode]:
    """The lesson "forward" as the book runs it, with a cache of its own."""
    nodes = notebooks.notebooks_of("forward")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setattr(computed, "folder", lambda: folder)
        notebooks.run_and_fill({"forward": nodes})
        page = (ROOT / "docs/lessons/forward.md").read_text("utf-8")
        nodes["page"] = computed.outputs(page)
    return nodes


@pytest.mark.slow
def test_a_lesson_runs(forward: dict[str, NotebookNode]) -> None:
    for language in notebooks.LANGUAGES:
        cells = code(forward[language])
        assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
        outputs = [output for cell in cells for output in cell.outputs]
        assert all(output.output_type != "error" for output in outputs)
        kinds = {kind for output in outputs for kind in output.get("data", ())}
        assert "text/markdown" in kinds, "a table"
        conclusion = next(cell for cell in cells if "conclusion" in cell.source)
        assert conclusion.outputs[0].text.count("✓") >= 2
        assert (language == "zh") == bool(re.search(r"[\u4e00-\u9fff]", str(conclusion.outputs)))


def test_the_page_shows_what_the_cells_print(forward: dict[str, NotebookNode]) -> None:
    cells = code(forward["en"], notebook.BLOCK)
    printed = ["".join(output.text for output in cell.outputs) for cell in cells]
    assert forward["page"] == printed
    page = (ROOT / "docs/lessons/forward.md").read_text("utf-8")
    assert printed == [text for _, text in blocks.execute(page)]


def test_a_cell_that_raises_ends_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no name of one notebook is there in the next, which the same kernel runs."""
    monkeypatch.setattr(kernels, "KERNELS", 1)
    ran = kernels.run_all({"first": ["kept = 1"], "second": ["print('kept' in globals())"]})
    assert ran["second"][0][0]["text"] == "False\n"
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        kernels.run_all({"wrong": ["1 / 0"]})
