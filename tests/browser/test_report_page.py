"""The HTML page of a run, in a browser: curves, table and pictures are there to be seen."""

import json
from pathlib import Path

import pytest
from selenium.webdriver.remote.webelement import WebElement

from tests.browser.chromium import Browser
from tests.browser.conftest import parity

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def pages(root: Path) -> dict[str, str]:
    """Run -> the address of its page."""
    for run in ("digits", "moons", "activations"):
        parity("report", run, "--runs", str(root))
    return {file.parent.name: file.as_uri() for file in root.glob("*/report.html")}


def box(browser: Browser, element: WebElement) -> list[float]:
    """left, top, width and height on the page."""
    script = "const b = arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width, b.height]"
    found: list[float] = browser.run(script, element)
    return found


def style(browser: Browser, element: WebElement, name: str) -> str:
    """A property as the browser draws it."""
    found: str = browser.run("return getComputedStyle(arguments[0])[arguments[1]]", element, name)
    return found


def brightness(colour: str) -> float:
    """Of rgb(r, g, b), from 0 to 255."""
    return sum(float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3


@pytest.mark.parametrize("run", ["digits", "moons"])
def test_both_curves_lie_over_one_another_and_can_be_told_apart(
    browser: Browser, pages: dict[str, str], run: str
) -> None:
    browser.open(pages[run])
    for tag in ("loss/train", "loss/dev", "accuracy/train", "accuracy/dev"):
        by_hand, in_torch = (
            browser.all(f'[id="{side} {tag}"] path')[0] for side in ("manual", "torch")
        )
        assert box(browser, by_hand) == pytest.approx(box(browser, in_torch), abs=1.0), tag
        _, _, width, height = box(browser, in_torch)
        assert width > 150, tag
        assert height > 10, tag
        assert float(style(browser, by_hand, "strokeWidth")[:-2]) > 3 * float(
            style(browser, in_torch, "strokeWidth")[:-2]
        )
        strokes = {style(browser, path, "stroke") for path in (by_hand, in_torch)}
        assert len(strokes) == 2, tag
    assert box(browser, browser.all('[id="envelope"] use')[0])[2] > 150
    assert box(browser, browser.all('[id="drift"] path')[0])[2] > 150


@pytest.mark.parametrize("run", ["digits", "moons"])
def test_the_verdict_and_every_tensor_are_shown(
    browser: Browser, pages: dict[str, str], root: Path, run: str
) -> None:
    browser.open(pages[run])
    (headline,) = browser.all(".headline")
    assert headline.text.startswith("PASS")
    tensors = json.loads((root / run / "summary.json").read_text())["worst"]
    rows = browser.all("#tensors tbody tr")
    assert [row.text.split()[0] for row in rows] == list(tensors)
    assert all(row.is_displayed() and row.text.split()[1] == "match" for row in rows)


def test_the_pictures_of_a_lesson_are_drawn(browser: Browser, pages: dict[str, str]) -> None:
    browser.open(pages["activations"])
    images = browser.all("img")
    assert images
    for image in images:
        assert browser.run("return arguments[0].complete && arguments[0].naturalWidth", image) > 100
        assert box(browser, image)[2] > 100


@pytest.mark.parametrize("run", ["digits", "activations"])
def test_nothing_is_asked_of_the_network(browser: Browser, pages: dict[str, str], run: str) -> None:
    off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    on = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", off)
    try:
        browser.open(pages[run])
        asked = [r for r in browser.requests() if not r.startswith("data:image/")]
        assert asked == [pages[run]]
        assert browser.all(".headline")[0].text.startswith("PASS")
    finally:
        browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", on)


@pytest.mark.parametrize("run", ["digits", "activations"])
def test_on_a_phone_nothing_runs_over_the_edge(
    browser: Browser, pages: dict[str, str], run: str
) -> None:
    browser.look(390)
    browser.open(pages[run])
    width = "return document.scrollingElement.scrollWidth"
    assert browser.run("return innerWidth") == 390
    assert browser.run(width) == 390
    wider = "const e = arguments[0]; return e.scrollWidth > e.clientWidth"
    scrolling = [e for e in browser.all(".scroll, pre") if browser.run(wider, e)]
    assert scrolling, "the wide tables scroll inside themselves"
    assert float(style(browser, browser.all(".headline")[0], "fontSize")[:-2]) >= 16
    if run == "digits":
        verdict = browser.all("#tensors tbody tr:first-child td:nth-child(4)")[0]
        left, _, width_of_it, _ = box(browser, verdict)
        assert left + width_of_it < 390, "verdict and both shares of the bound are in sight"
    browser.run("arguments[0].style.overflow = 'visible'", scrolling[0])
    assert browser.run(width) > 390, "this test sees a table that does not"


def test_in_the_dark_ink_is_light(browser: Browser, pages: dict[str, str]) -> None:
    (light, dark) = ({}, {})
    for seen, night in ((light, False), (dark, True)):
        browser.look(1400, night)
        browser.open(pages["digits"])
        torch = browser.all('[id="torch loss/train"] path')[0]
        label = browser.all(".charts svg text")[0]
        body = browser.all("body")[0]
        seen["paper"] = brightness(style(browser, body, "backgroundColor"))
        seen["ink"] = brightness(style(browser, body, "color"))
        seen["curve"] = brightness(style(browser, torch, "stroke"))
        seen["label"] = brightness(style(browser, label, "fill"))
        seen["picture"] = style(browser, browser.all(".pictures img")[0], "filter")
    assert light["picture"] == "none"
    assert "invert" in dark["picture"]
    for name in ("ink", "curve", "label"):
        assert light["paper"] - light[name] > 150, name
        assert dark[name] - dark["paper"] > 150, name
