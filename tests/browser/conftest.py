"""A window, and a fresh run of each kind to look at."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser, chromium
from torch_parity.compare.cli import main


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One window for all: starting it takes seconds."""
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """The window, as wide as a desk's; a test after which the console holds errors fails."""
    window.look(1400)
    yield window
    assert window.errors() == []


def parity(*args: str) -> None:
    """Run the command, which must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["parity", *args])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()


@pytest.fixture(scope="session")
def root(window: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of digits and of moons, 60 steps each, and a lesson."""
    root = tmp_path_factory.mktemp("runs")
    parity("train", "--data", "digits", "--hidden", "32", "--steps", "60", "--runs", str(root))
    parity("train", "--data", "moons", "--hidden", "8,6", "--steps", "60", "--runs", str(root))
    parity("lesson", "activations", "--runs", str(root))
    return root
