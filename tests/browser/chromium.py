"""A headless Chromium that is asked what it shows, what it asked for, and what it complained of.

Selenium drives it through chromedriver, which Debian packages beside its Chromium in the same
version; playwright is made for browsers that it downloads itself.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement

QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
PATIENCE = 30.0  # seconds; TensorBoard draws when it has fetched, on a busy machine late

# document.querySelectorAll, shadow roots included
ALL = """
const found = [];
(function walk(node) {
  for (const e of node.querySelectorAll('*')) {
    if (e.matches(selector)) found.push(e);
    if (e.shadowRoot) walk(e.shadowRoot);
  }
})(document);
"""

Seen = TypeVar("Seen")


class Browser:
    """One window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        """Load a page anew, even if only the fragment is another; forget the one before."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(address)

    def run(self, script: str, *given: Any) -> Any:
        """What JavaScript returns; it has the arguments as an array."""
        return self.driver.execute_script(script, *given)

    def all(self, selector: str) -> list[WebElement]:
        """Every element that the selector matches, in shadow roots as well."""
        found: list[WebElement] = self.run(
            f"const selector = arguments[0]; {ALL} return found", selector
        )
        return found

    def texts(self, selector: str) -> list[str]:
        """What stands in every element that the selector matches, spaces made one."""
        script = f"const selector = arguments[0]; {ALL} return found.map(e => e.textContent)"
        return [" ".join(text.split()) for text in self.run(script, selector)]

    def look(self, width: int, dark: bool = False, height: int = 900) -> None:
        """As a device of this size, in the light or in the dark."""
        device = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def requests(self) -> list[str]:
        """Every address that the page has asked for since it was opened."""
        entries = (json.loads(e["message"])["message"] for e in self.driver.get_log("performance"))
        return [
            e["params"]["request"]["url"]
            for e in entries
            if e["method"] == "Network.requestWillBeSent"
        ]

    def errors(self) -> list[str]:
        """What the console holds that is more than a warning."""
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def until(self, look: Callable[[], Seen], what: str) -> Seen:
        """The first answer that is anything; fails, saying what was waited for, if none comes."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if seen := look():
                return seen
            time.sleep(0.1)
        shown = self.run("return document.body.innerText")[:2000]
        pytest.fail(f"{what}: not seen on {self.driver.current_url}, which shows\n{shown}")


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A Chromium with a fresh profile; nothing of it is left running.

    Where there is none, tests are skipped; but in CI (CI=true) that is a failure.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        missing("Debian's packages chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (*QUIET, f"--user-data-dir={profile}", "--window-size=1400,950"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium refuses to run as root with one
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(window)
    finally:
        window.quit()
        assert not _left(profile), f"still running: {_left(profile)}"


def missing(reason: str) -> None:
    """Skip, or in CI fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must look into a browser: {reason}")
    pytest.skip(reason)


def _left(profile: Path) -> list[str]:
    """The command lines of this profile's processes that have not ended after a few seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        lines = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:  # it has just ended
                continue
        left = [line for line in lines if f"--user-data-dir={profile}" in line]
        if not left:
            return []
        time.sleep(0.1)
    return left
