"""TensorBoard through `parity board`: both sides' curves and the pictures are drawn."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.board_process import started
from tests.browser.chromium import ALL, Browser
from torch_parity.compare.case import Case
from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.runs import events
from torch_parity.compare.show.bands import COPY
from torch_parity.compare.show.scalars_layout import training

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# run -> [what its row says, the path drawn in its colour], of the one card that is shown
SERIES = """
const all = (node, selector) => [...node.querySelectorAll(selector)];
const paths = all(document, 'scalar-card line-chart path');
return Object.fromEntries(all(document, 'scalar-card tb-data-table-content-row').map(row => {
  const cells = all(row, 'tb-data-table-content-cell').map(cell => cell.innerText.trim());
  const colour = row.querySelector('.row-circle span').style.backgroundColor;
  const path = paths.find(path => path.style.stroke === colour);
  return [cells[1], [cells, path ? path.getAttribute('d') : '']];
}));
"""


# [title, [colours of its lines], [colours of its areas]] of every margin chart, as they stand
MARGINS = f"""
const selector = 'tf-custom-scalar-margin-chart-card'; {ALL}
const within = (card, name, attribute) => {{
  const seen = [];
  (function walk(node) {{
    for (const e of node.querySelectorAll('*')) {{
      if (e.matches(name) && e.getAttribute('d')) seen.push(e.getAttribute(attribute));
      if (e.shadowRoot) walk(e.shadowRoot);
    }}
  }})(card.shadowRoot || card);
  return [...new Set(seen)].filter(Boolean).sort();
}};
return found.map(card => [
  card.title, within(card, 'path.line', 'stroke'), within(card, 'path.area', 'fill'),
  card.getBoundingClientRect().top * 1e4 + card.getBoundingClientRect().left,
]);
"""


@pytest.fixture(scope="module")
def boards(root: Path) -> Iterator[dict[str, str]]:
    """Run -> the address that `parity board` prints: digits, moons less one curve, a lesson."""
    shutil.copytree(root / "moons", root / "two", ignore=shutil.ignore_patterns(COPY))
    with ExitStack() as stack:
        yield {
            run: stack.enter_context(started(root, run, "--port", "0"))[2]
            for run in ("digits", "two", "activations")
        }


def page(address: str, name: str, query: str = "smoothing=0") -> str:
    """Another dashboard of the same board."""
    return f"{address.partition('?')[0]}?{query}#{name}"


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("run", "tag"), [("two", "loss/dev"), ("digits", "loss/train"), ("digits", "accuracy/dev")]
)
def test_both_curves_in_the_time_series(
    browser: Browser, boards: dict[str, str], root: Path, run: str, tag: str
) -> None:
    """Drawn as SVG, not by the graphics card, so that each line can be asked for."""
    query = f"smoothing=0&forceSVG=true&tagFilter=%5E{quote(tag, safe='')}%24"
    browser.open(page(boards[run], "timeseries", query))

    def drawn() -> dict[str, tuple[list[str], str]]:
        series = browser.run(SERIES)
        return series if all(series.get(side, ("", ""))[1] for side in SIDES) else {}

    series = browser.until(drawn, f"{tag} of both sides")
    for side in SIDES:
        steps, values = events.read(root / run / side).curves[tag]
        cells, path = series[side]
        assert float(cells[2]) == pytest.approx(values[-1], rel=1e-2, abs=1e-4)
        assert int(cells[3]) == steps[-1] == 60
        assert len(path.split("L")) == len(steps) == 7
    assert series["manual"][1] == series["torch"][1], "they lie over one another, to the pixel"


def test_both_sides_in_the_custom_scalars(browser: Browser, boards: dict[str, str]) -> None:
    """The board opens on the layout. In each margin chart manual and torch have a line each, in two
    colours, and there is a band; the charts stand in the order in which the layout means them."""
    assert boards["digits"].endswith("#custom_scalars&_smoothingWeight=0")
    browser.open(boards["digits"])

    def drawn() -> list[tuple[str, list[str], list[str], float]]:
        charts = browser.run(MARGINS)
        done = charts and all(min(len(lines), len(areas)) >= 2 for _, lines, areas, _ in charts)
        return charts if done else []

    charts = browser.until(drawn, "margin charts with the lines of both sides")
    groups = list(training("accuracy").values())[:2]
    titles = [title for charts in groups for title in reversed(charts)]
    assert [title for title, *_ in sorted(charts, key=lambda chart: chart[3])] == titles
    both = [set(lines) for title, lines, *_ in charts if title.startswith("distance of")]
    assert all(lines == both[0] and len(lines) == 2 for lines in both)
    texts = browser.texts("*")
    assert {"manual", "torch", *training("accuracy")} <= set(texts)
    assert not [text for text in texts if "Missing Tags" in text or "not match" in text]


def pictures(browser: Browser) -> list[int]:
    """The widths of the images on the page that have been loaded."""
    script = "return arguments[0].complete ? arguments[0].naturalWidth : 0"
    return [w for image in browser.all("img") if (w := browser.run(script, image))]


@pytest.mark.parametrize(
    ("run", "tags"),
    [
        ("activations", ["activations"]),
        ("digits", ["confusion", "misclassified"]),
        ("two", ["confusion", "decision boundary"]),
    ],
)
def test_the_pictures(browser: Browser, boards: dict[str, str], run: str, tags: list[str]) -> None:
    browser.open(page(boards[run], "images"))

    browser.until(lambda: set(tags) <= set(browser.texts("*")), f"the names {tags}")
    widths = browser.until(lambda: len(p := pictures(browser)) >= len(tags) and p, "pictures")
    assert min(widths) > 100


def test_the_case_and_the_parity_table(browser: Browser, boards: dict[str, str]) -> None:
    browser.open(page(boards["digits"], "text"))

    def seen(tag: str, begins: str, ends: str) -> bool:
        return any(t.startswith(begins) and t.endswith(ends) for t in browser.texts(tag))

    meaning = str(Case.model_fields["hidden"].description)
    browser.until(lambda: seen("li", "hidden = 32 (", f"{meaning})"), "the case")
    browser.until(lambda: seen("tr", "dW1-2 ", " match"), "the parity table")
    browser.until(lambda: any(p.startswith("PASS ") for p in browser.texts("p")), "the verdict")


@pytest.mark.parametrize(
    ("dashboard", "shown"),
    [
        ("graphs", ["forward", "backward", "update"]),
        ("hparams", ["hidden", "accuracy/dev", "manual", "torch"]),
        ("histograms", ["weights", "gradients", "activations"]),
    ],
)
def test_further_dashboards(
    browser: Browser, boards: dict[str, str], dashboard: str, shown: list[str]
) -> None:
    browser.open(page(boards["digits"], dashboard))

    browser.until(lambda: set(shown) <= set(browser.texts("*")), f"{shown}")
