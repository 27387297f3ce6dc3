"""The built site: no warning, no dead link, nothing fetched from elsewhere."""

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from nbformat import NotebookNode

from book.notebooks import LANGUAGES, ROOT, examples, lesson_page
from torch_parity.compare.causes import CATALOGUE
from torch_parity.lessons import LESSONS

pytestmark = pytest.mark.site


class Links(HTMLParser):
    """ids is what can be linked to, links what a reader may follow, loads what the page needs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        at = {name: value or "" for name, value in attrs}
        self.ids.add(at.get("id", ""))
        if tag == "a" and "href" in at:
            self.links.append(at["href"])
        if tag == "link" and at.get("rel") in ("stylesheet", "icon"):
            self.loads.append(at["href"])
        if "src" in at:
            self.loads.append(at["src"])


@cache
def read(page: Path) -> Links:
    return Links(page.read_text("utf-8"))


def dead(page: Path, target: str) -> bool:
    """Whether a link from a page leads nowhere; those that leave the site are not followed."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return False
    to = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if to.is_dir():
        to /= "index.html"
    if not to.is_file():
        return True
    anchor = unquote(parts.fragment)
    return bool(anchor) and to.suffix == ".html" and anchor not in read(to).ids


def test_no_link_is_dead(site: Path) -> None:
    pages = [p for p in site.rglob("*.html") if p.name != "404.html"]
    assert len(pages) > 100
    found = [
        (str(page.relative_to(site)), target)
        for page in pages
        for target in (*read(page).links, *read(page).loads)
        if dead(page, target)
    ]
    assert not found


def test_a_dead_link_would_be_seen(site: Path) -> None:
    page = site / "lessons" / "dropout.html"
    assert not dead(page, "../causes.html#keep_prob")
    assert dead(page, "../causes.html#keep_probs")
    assert dead(page, "../cause.html")
    assert not dead(page, "#exercises")
    assert dead(page, "#exercise")


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for target in read(page).loads:
            assert not urlsplit(target).netloc, f"{page}: {target}"
    for style in site.rglob("*.css"):
        text = style.read_text("utf-8")
        assert "@import" not in text
        assert "url(http" not in text


def test_each_page_of_one_language_has_one_in_the_other(site: Path) -> None:
    def pages(folder: Path) -> set[str]:
        return {p.relative_to(folder).as_posix() for p in folder.rglob("*.html")} - {"404.html"}

    english = {p for p in pages(site) if not p.startswith("zh/")}
    assert pages(site / "zh") == english
    assert "本项目和 torch" in (site / "zh" / "lessons" / "dropout.html").read_text("utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_lesson_is_offered_as_a_notebook_that_has_run(site: Path, language: str) -> None:
    folder = site / "lessons" if language == "en" else site / "zh" / "lessons"
    for name in LESSONS:
        (link,) = (x for x in read(folder / f"{name}.html").links if x.endswith(".ipynb"))
        shown = executed(folder / link)
        page = (ROOT / lesson_page(name).path).read_text("utf-8")
        pictures = ["image/png" in output.get("data", ()) for output in shown]
        assert sum(pictures) == page.count("<!-- picture:"), name
        assert (language == "zh") == ("两边" in str(shown) or "手写" in str(shown)), name


def test_each_example_is_offered_as_a_notebook_that_has_run(site: Path) -> None:
    for path in examples():
        page = site / "source" / f"{path.replace('.', '-')}.html"
        (link,) = (x for x in read(page).links if x.endswith(".ipynb"))
        assert executed(page.parent / link), path


def executed(file: Path) -> list[NotebookNode]:
    """The outputs of a notebook, each cell of which must have run."""
    node = nbformat.read(file, as_version=4)
    nbformat.validate(node)
    code = [cell for cell in node.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)], file
    outputs = [output for cell in code for output in cell.outputs]
    assert all(output.get("name") != "stderr" for output in outputs), file
    assert all(output.output_type != "error" for output in outputs), file
    return outputs


def test_the_catalogue_shows_each_mistake_planted_and_found(site: Path) -> None:
    page = (site / "causes.html").read_text("utf-8")
    for name in CATALOGUE:
        assert f'id="{name}"' in page
        assert f"Planted: {name}. Found: " in page
