"""Draw docs/dashboard.png anew: what `parity board` opens on after `parity train`.

Usage: python -m tests.browser.dashboard_picture
"""

import contextlib
import tempfile
import time
from pathlib import Path

from tests.board_process import started
from tests.browser.chromium import Browser, chromium
from tests.browser.conftest import parity

PICTURE = Path(__file__).parents[2] / "docs" / "dashboard.png"
WIDTH, HEIGHT = 1100, 1120  # two charts in a row, two groups of them


def draw(file: Path) -> None:
    """Train at the defaults, open the board, wait until its curves stand still, and save it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        parity("train")
        with (
            started(Path("runs"), "digits", "--port", "0") as (_, _, address),
            chromium(Path(folder, "profile")) as browser,
        ):
            browser.look(WIDTH, height=HEIGHT)
            browser.open(address)
            _settle(browser)
            assert browser.driver.save_screenshot(str(file))


def _settle(browser: Browser) -> None:
    counts = [0]

    def settled() -> bool:
        time.sleep(2)
        counts.append(len(browser.all("path.line, path.area, .symbol")))
        return counts[-1] == counts[-2] > 20

    browser.until(settled, "curves, all that there are")


if __name__ == "__main__":
    draw(PICTURE)
