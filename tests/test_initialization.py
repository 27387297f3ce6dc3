"""Initializers of both sides have the same distribution; bounds follow from its theory."""

import math

import numpy as np
import pytest
import torch

from torch_parity import manual
from torch_parity.torch_ref import initialization

SHAPE = (300, 200)
STD = {
    "normal": 0.01,
    "xavier_normal": math.sqrt(2 / 500),
    "xavier_course": math.sqrt(1 / 200),
    "kaiming_normal": math.sqrt(2 / 200),
}


@pytest.mark.parametrize("name", STD)
def test_mean_and_deviation(name: str) -> None:
    """The mean has standard error s / sqrt(n), the deviation s / sqrt(2n); five of them are met by
    all but one draw in a million."""
    torch.manual_seed(4)
    drawn = {
        "manual": getattr(manual, name)(np.random.default_rng(4), SHAPE),
        "torch": getattr(initialization, name)(torch.empty(SHAPE, dtype=torch.float64)).numpy(),
    }
    n, std = math.prod(SHAPE), STD[name]
    for side, W in drawn.items():
        assert W.shape == SHAPE
        assert abs(W.mean()) < 5 * std / math.sqrt(n), f"{side} {name}, seed 4"
        assert abs(W.std() - std) < 5 * std / math.sqrt(2 * n), f"{side} {name}, seed 4"


def test_zeros_and_scale() -> None:
    rng = np.random.default_rng(0)
    assert not manual.zeros(rng, SHAPE).any()
    assert not initialization.zeros(torch.ones(SHAPE)).any()
    assert manual.normal(rng, SHAPE, scale=3.0).std() == pytest.approx(3, rel=0.02)


def test_the_seed_alone_decides() -> None:
    a, b = (manual.kaiming_normal(np.random.default_rng(9), (4, 3)) for _ in range(2))
    assert np.array_equal(a, b)
