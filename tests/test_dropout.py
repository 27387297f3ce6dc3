"""Inverted dropout: the mask, its scale, its recovery from torch's generator."""

from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from torch_parity import manual
from torch_parity.torch_ref.ops.dropout import dropout, recover_mask


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.0, 0.2, 0.3, 0.5, 0.8])
def test_mask_holds_zero_or_the_scale_and_keeps_the_expected_value(p: float, dtype: str) -> None:
    n = 200_000
    mask = manual.dropout_mask(np.random.default_rng(1), (n // 100, 100), p, dtype)
    assert mask.dtype == dtype
    assert set(np.unique(mask)) <= {0.0, np.dtype(dtype).type(1) / np.dtype(dtype).type(1 - p)}
    standard_error = np.sqrt(p / (1 - p) / n)  # of the mean of masks with variance p / (1 - p)
    assert abs(mask.mean(dtype=np.float64) - 1) <= 5 * standard_error + 1e-6, f"p={p}, seed 1"


def test_a_unit_is_dropped_where_the_number_drawn_is_below_p() -> None:
    """So just the share p of [0, 1) drops."""

    class Drawn:
        def random(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.array([0.0, 0.25, 0.25 - 2**-54, 0.75]).reshape(shape)

    mask = manual.dropout_mask(cast(np.random.Generator, Drawn()), (2, 2), 0.25)
    np.testing.assert_array_equal(mask, np.array([[0, 1], [0, 1]]) / 0.75)


@pytest.mark.parametrize("p", [1.0, 1.2, -0.1, float("nan")])
def test_p_outside_its_range(p: float) -> None:
    with pytest.raises(ValueError, match="probability to drop"):
        manual.dropout_mask(np.random.default_rng(0), (2, 3), p)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_recovered_mask_is_the_one_torch_used(p: float, dtype: torch.dtype) -> None:
    """After a ReLU, where reading it off h != 0 is wrong."""
    torch.manual_seed(3)
    a = torch.relu(torch.randn(40, 30, dtype=dtype))
    before = torch.get_rng_state()
    h = dropout(p)(a)
    after = torch.get_rng_state()
    mask = recover_mask(p, before, a)
    assert torch.equal(h, a * mask)
    assert torch.equal(torch.get_rng_state(), after), "recovering must not move the generator"
    if p:
        assert not torch.equal(mask != 0, h != 0), "this test needs activations that are 0"


def test_evaluation_changes_nothing() -> None:
    a = torch.randn(4, 5)
    assert torch.equal(dropout(0.4).eval()(a), a)
    assert isinstance(dropout(0.4), nn.Dropout)
