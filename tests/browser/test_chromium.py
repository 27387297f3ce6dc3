"""The watch itself: it must see what the other tests promise is not there."""

from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_request_an_error_and_a_shadow_root_are_seen(window: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<img src='http://localhost:9/x.png'><div id=host></div><script>"
        "host.attachShadow({mode: 'open'}).innerHTML = '<b id=deep>deep</b>';"
        "console.error('planted')</script>"
    )
    window.open(page.as_uri())
    asked = window.until(lambda: [r for r in window.requests() if "localhost:9" in r], "a request")
    assert asked == ["http://localhost:9/x.png"]
    assert any("planted" in error for error in window.errors())
    (deep,) = window.all("b")
    assert deep.text == "deep"
    window.open("about:blank")


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_without_a_browser_tests_are_skipped_but_ci_fails(
    ci: str, outcome: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(outcome.Exception, match="chromium-driver are not installed"):  # type: ignore[attr-defined]
        chromium.chromium(Path("nowhere")).__enter__()
