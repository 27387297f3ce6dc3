"""Fixtures for all tests; one thread per library (pytest-xdist runs tests in parallel), hypothesis
settings that print how to repeat a failure."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(pool, "1")

import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from tests import command  # noqa: E402
from tests.golden_text import golden  # noqa: E402, F401

torch.set_num_threads(1)
settings.register_profile(
    "parity", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("parity")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the cases of a test marked every(k) each k-th is quick, and the others are slow; which one
    is it moves on from k to k, so that all values of all parameters take turns."""
    seen: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("every")
        if mark is None:
            continue
        test, k = item.nodeid.partition("[")[0], mark.args[0]
        number, seen[test] = seen[test], seen[test] + 1
        if (number + number // k) % k:
            item.add_marker(pytest.mark.slow)


def pytest_addoption(parser: pytest.Parser) -> None:
    """--update-golden"""
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden anew (without -n)"
    )


@pytest.fixture
def parity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., command.Ended]:
    """Runs the command in a folder of its own, 200 columns wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return command.parity


@pytest.fixture(scope="session")
def site() -> Path:
    """The book, built as `make docs` builds it; a warning of any kind is a failure."""
    root = Path(__file__).parent.parent
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    for module in (["book"], ["mkdocs", "build", "--strict"], ["book.search"]):
        ran = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "WARNING" not in ran.stdout + ran.stderr, ran.stderr
    return root / "build" / "site"
