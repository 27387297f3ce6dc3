"""Long sweeps: a few of their cases in every run, the others with `-m slow`."""

from collections.abc import Iterable
from typing import Any

import pytest


def after(quick: int, cases: Iterable[Any]) -> list[Any]:
    """The cases for parametrize; those after the first few are slow."""
    return [
        pytest.param(case, marks=pytest.mark.slow) if i >= quick else case
        for i, case in enumerate(cases)
    ]
