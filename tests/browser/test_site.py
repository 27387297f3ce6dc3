"""The book as a reader sees it: a lesson in both languages, the catalogue, on a phone too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser

pytestmark = [pytest.mark.site, pytest.mark.browser]

PHONE, DESK = 390, 1400


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """The window; a test after which the console holds errors fails. Material asks for a sitemap,
    which no browser fetches from a folder; the pages do without."""
    yield window
    assert [error for error in window.errors() if "sitemap.xml" not in error] == []


def show(browser: Browser, page: Path, width: int, anchor: str = "") -> None:
    """Open a page of the built site from its file, at this width."""
    browser.look(width)
    browser.open(page.as_uri() + anchor)


def texts(browser: Browser, selector: str) -> list[str]:
    """What stands in these elements, seen or folded away."""
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
    return list(browser.run(script, selector))


def boxes(browser: Browser, selector: str) -> list[dict[str, float]]:
    """Where these elements stand."""
    script = """return [...document.querySelectorAll(arguments[0])].map(
        e => e.getBoundingClientRect().toJSON())"""
    return list(browser.run(script, selector))


def fits(browser: Browser) -> bool:
    """Whether nothing makes the page wider than the screen."""
    return bool(browser.run("return document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize(
    ("page", "title", "columns"),
    [
        ("lessons/dropout.html", "Dropout", ["By hand", "In torch"]),
        ("zh/lessons/dropout.html", "Dropout（随机失活）", ["手写（NumPy）", "torch 写法"]),
    ],
)
def test_a_lesson_in_both_languages(
    browser: Browser, site: Path, page: str, title: str, columns: list[str], width: int
) -> None:
    show(browser, site / page, width)
    assert texts(browser, "h1")[0].rstrip("¶") == title
    assert texts(browser, ".twins > div > p > strong") == columns
    by_hand, in_torch = texts(browser, ".twins pre")
    assert "def dropout_backward(dh" in by_hand
    assert "nn.Dropout(p)" in in_torch
    left, right = boxes(browser, ".twins > div")
    side_by_side = left["right"] <= right["left"] and abs(left["top"] - right["top"]) < 1
    assert side_by_side == (width == DESK)
    assert all(box["width"] > 100 for box in boxes(browser, "article img"))
    assert len(boxes(browser, "article img")) == 2
    assert all(box["height"] > 5 for box in boxes(browser, "article math"))
    said = "\n".join(texts(browser, "details pre"))
    assert "Cause (manual): mask_not_applied_backward" in said
    assert "Cause (mine): mask_not_applied_backward" in said
    assert "PASS 6 tensors match" in said
    assert fits(browser)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_catalogue(browser: Browser, site: Path, width: int) -> None:
    show(browser, site / "causes.html", width, "#keep_prob")
    entries = [text.rstrip("¶") for text in texts(browser, "h3")]
    assert len(entries) >= 30
    assert {"keep_prob", "softmax_twice", "momentum_convention"} <= set(entries)
    top = boxes(browser, "#keep_prob")[0]["top"]
    assert 0 <= top < 300, "the link to an entry leads to it"
    details = "#keep_prob ~ details"
    folded = boxes(browser, details)[0]["height"]
    summary = browser.driver.find_element("css selector", f"{details} summary")
    browser.run("arguments[0].click()", summary)
    assert boxes(browser, details)[0]["height"] > folded + 100
    assert "Planted: keep_prob. Found: keep_prob." in "\n".join(texts(browser, "details[open] pre"))
    assert fits(browser)


def test_the_language_switch_leads_to_the_same_page(browser: Browser, site: Path) -> None:
    show(browser, site / "lessons" / "dropout.html", DESK)
    to = browser.driver.find_element("css selector", "a[hreflang=zh]").get_property("href")
    assert to == (site / "zh" / "lessons" / "dropout.html").as_uri()


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("page", ["lessons/residual.html", "zh/models/gpt.html"])
def test_code_side_by_side_is_not_clipped(
    browser: Browser, site: Path, page: str, width: int
) -> None:
    show(browser, site / page, width)
    wider = """return [...document.querySelectorAll('.twins pre > code')].map(
        e => e.scrollWidth - e.clientWidth)"""
    assert set(browser.run(wider)) == {0}
    browser.run("document.querySelector('.twins pre > code').style.whiteSpace = 'pre'")
    assert browser.run(wider)[0] > 0, "this test sees a line that is too long"


@pytest.mark.parametrize(
    "page", ["judge.html", "how-to/dashboard.html", "how-to/trace-from-c.html"]
)
def test_no_command_or_report_is_cut_off_on_a_desk(browser: Browser, site: Path, page: str) -> None:
    """Reports hold tables of 100 characters, and sentences that are longer."""
    show(browser, site / page, DESK)
    wider = """return [...document.querySelectorAll('article pre > code')].map(
        e => e.scrollWidth - e.clientWidth)"""
    assert set(browser.run(wider)) == {0}


@pytest.mark.parametrize("width", [DESK, 1900])
@pytest.mark.parametrize("page", ["judge.html", "zh/lessons/dropout.html"])
def test_lines_of_text_are_no_longer_than_can_be_read(
    browser: Browser, site: Path, page: str, width: int
) -> None:
    """At most 43 characters of Chinese, or some 85 letters; code takes more."""
    show(browser, site / page, width)
    lines = boxes(browser, "article > :is(p, ul, ol):not(:has(img))")
    size = "return parseFloat(getComputedStyle(document.querySelector('article > p')).fontSize)"
    longest = 43 * browser.run(size)
    assert len(lines) > 10
    assert max(line["width"] for line in lines) <= longest
    assert max(box["width"] for box in boxes(browser, "article pre")) > 1.1 * longest


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("page", ["index.html", "zh/index.html"])
def test_home_has_a_picture_and_three_ways_in(
    browser: Browser, site: Path, page: str, width: int
) -> None:
    show(browser, site / page, width)
    (picture,) = boxes(browser, "article img")
    assert picture["width"] > 300
    assert "pip install" in " ".join(texts(browser, "article pre"))
    ways = boxes(browser, ".ways > ul > li")
    assert len(ways) == len(texts(browser, ".ways h3")) == 3
    assert len({way["top"] for way in ways}) == (3 if width == PHONE else 1)
    assert fits(browser)


def test_the_reference_has_a_heading_for_each_function(browser: Browser, site: Path) -> None:
    anchor = "#torch_parity.manual.conv2d_backward"
    show(browser, site / "reference" / "manual.html", DESK, anchor)
    headings = [text.rstrip("¶") for text in texts(browser, "h3")]
    assert {"conv2d", "conv2d_backward", "adam", "MLP"} <= set(headings)
    top = browser.driver.find_element("css selector", f"[id='{anchor[1:]}']")
    assert 0 <= browser.run("return arguments[0].getBoundingClientRect().top", top) < 300


def test_light_and_dark(browser: Browser, site: Path) -> None:
    show(browser, site / "index.html", DESK)
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = browser.run(colour)
    switch = "form[data-md-component=palette] label:not([hidden])"
    browser.run("document.querySelector(arguments[0]).click()", switch)
    assert browser.run(colour) != before
    picture = "return getComputedStyle(document.images[0]).filter"
    assert browser.run(picture) == "brightness(0.8)", "the black line is still black"


@pytest.mark.parametrize(
    ("page", "words", "found"),
    [("index.html", "keep_prob", "keep_prob"), ("zh/index.html", "随机", "Dropout")],
)
def test_search_works_without_a_server(
    browser: Browser, site: Path, page: str, words: str, found: str
) -> None:
    show(browser, site / page, DESK)
    browser.driver.find_element("css selector", "input.md-search__input").send_keys(words)
    listed = browser.until(lambda: texts(browser, ".md-search-result__item"), "a result")
    assert any(found in text for text in listed)


@pytest.mark.parametrize("language", ["", "zh/"])
def test_search_prefers_the_language_of_the_reader(
    browser: Browser, site: Path, language: str
) -> None:
    """Both have a lesson on dropout; the catalogue of causes is in English alone."""
    show(browser, site / language / "index.html", DESK)
    browser.driver.find_element("css selector", "input.md-search__input").send_keys("dropout")
    links = "return [...document.querySelectorAll('a.md-search-result__link')].map(e => e.href)"
    found = browser.until(lambda: browser.run(links), "a result")
    assert {"/zh/" in link for link in found} == {language == "zh/"}
    first = texts(browser, ".md-search-result__item")[0]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in first) == (language == "zh/")
