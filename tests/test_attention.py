"""Attention and positions against numbers from elsewhere, and at shapes that no row has.

The expected values are those of ONNX's reference operators (Attention, RotaryEmbedding) on small
whole numbers, and those printed in the notebook of course 5 week 4.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from torch_parity import manual

QUERY = np.array([[1.0, 0, 2], [0, 1, -1], [2, 1, 0], [-1, 0, 1]])
KEY = np.array([[0.0, 1, 1], [1, 0, -1], [2, -1, 0], [1, 1, 2]])
VALUE = np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]])
HIDDEN = np.tile([True, False, True, True], (4, 1))


@pytest.mark.parametrize(
    ("masks", "options", "first"),
    [
        pytest.param((), {}, [5.8877873847, 3.3504803903, 4.8667232229, 4], id="attention_4d"),
        pytest.param(
            (), {"scale": 0.01}, [4.0302227165, 3.9875065263, 4.0174684648, 4],
            id="attention_4d_scaled",
        ),
        pytest.param(
            (), {"is_causal": True}, [1, 2.2809149514, 3.7299067748, 4],
            id="attention_4d_causal",
        ),
        pytest.param(
            (HIDDEN,), {}, [5.9545536191, 3.644584615, 5.3193710122, 4.0812712954],
            id="attention_4d_attn_mask_bool",
        ),
    ],
)  # fmt: skip
def test_onnx(masks: Any, options: dict[str, Any], first: list[float]) -> None:
    out = manual.scaled_dot_product_attention(QUERY, KEY, VALUE, *masks, **options)
    expected = np.stack([first, np.add(first, 1)], axis=1)
    np.testing.assert_allclose(out, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("interleaved", "expected"),
    [
        (False, [[1, 2, 3, 4], [-3.1887853643, 5.9197013358, 7.9894710651, 8.0595990033],
                 [-13.747593224, 9.7580160663, 3.6060616394, 12.1975867469]]),
        (True, [[1, 2, 3, 4], [-2.3473143795, 7.4491687592, 6.9196513362, 8.0695988367],
                [-12.8382957972, 4.022208476, 10.757816073, 12.2175854136]]),
    ],
)  # fmt: skip
def test_onnx_rotary(interleaved: bool, expected: list[list[float]]) -> None:
    x = np.arange(1.0, 13).reshape(1, 3, 4)
    out = manual.rotary_positions(x, interleaved=interleaved)
    np.testing.assert_allclose(out, [expected], rtol=1e-9)


def test_the_notebooks_weights() -> None:
    """Values that are the identity show the weights; the notebook computed in float32."""
    query = np.array([[1.0, 0, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1]])
    key = np.array([[1.0, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 1]])
    weights = manual.scaled_dot_product_attention(query, key, np.eye(4))
    expected = [
        [0.2589478, 0.42693272, 0.15705977, 0.15705977],
        [0.2772748, 0.2772748, 0.2772748, 0.16817567],
        [0.33620113, 0.33620113, 0.12368149, 0.2039163],
    ]
    np.testing.assert_allclose(weights, expected, atol=1e-7)
    masked = manual.scaled_dot_product_attention(
        query, key, np.eye(4), np.array([True, True, False, True])
    )
    expected = [
        [0.30719590, 0.50648040, 0, 0.18632373],
        [0.38365173, 0.38365173, 0, 0.23269655],
        [0.38365173, 0.38365173, 0, 0.23269655],
    ]
    np.testing.assert_allclose(masked, expected, atol=1e-7)


def test_a_query_that_sees_no_key_takes_nothing() -> None:
    """As in torch, without a warning; nor does it hand back a gradient."""
    blind = np.zeros((4, 4), dtype=bool)
    blind[1:] = True
    out = manual.scaled_dot_product_attention(QUERY, KEY, VALUE, blind)
    assert np.array_equal(out[0], [0, 0])
    at = [torch.tensor(a)[None, None] for a in (QUERY, KEY, VALUE, blind)]
    twin = F.scaled_dot_product_attention(*at)
    np.testing.assert_allclose(out, twin[0, 0], rtol=1e-14)
    dout = np.ones((4, 2))
    dquery, *_ = manual.scaled_dot_product_attention_backward(dout, QUERY, KEY, VALUE, blind)
    assert np.array_equal(dquery[0], [0, 0, 0])


def test_queries_whose_scores_are_far_below_those_of_others() -> None:
    """Each query is held to its own largest score: exp of the distance to another's would be 0."""
    far = np.array([[2000.0], [1.0]])
    out = manual.scaled_dot_product_attention(far, np.array([[1.0], [0.5]]), np.eye(2))
    e = np.exp(-0.5)
    np.testing.assert_allclose(out, [[1, 0], [1 / (1 + e), e / (1 + e)]], rtol=1e-14)


@pytest.mark.parametrize("shape", [(5, 3), (2, 7, 3), (2, 2, 4, 3)])
@pytest.mark.parametrize("keys", [1, 6])
def test_any_leading_axes_and_more_keys_than_queries(shape: tuple[int, ...], keys: int) -> None:
    rng = np.random.default_rng(0)
    query = rng.normal(size=shape)
    key, value = rng.normal(size=(2, *shape[:-2], keys, 3))
    at = [torch.tensor(a, requires_grad=True) for a in (query, key, value)]
    twin = F.scaled_dot_product_attention(*at, is_causal=True)
    out = manual.scaled_dot_product_attention(query, key, value, is_causal=True)
    np.testing.assert_allclose(out, twin.detach(), rtol=1e-12, atol=1e-14)
    dout = rng.normal(size=out.shape)
    ours = manual.scaled_dot_product_attention_backward(dout, query, key, value, is_causal=True)
    theirs = torch.autograd.grad(twin, at, torch.tensor(dout))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-13)


def test_multi_head_attention_is_torchs_module() -> None:
    """With its own start, as self-attention, whose three inputs are one."""
    torch.manual_seed(0)
    module = nn.MultiheadAttention(6, 3, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    padding = torch.tensor([[False] * 5, [False, False, False, True, True]])
    twin, _ = module(x, x, x, key_padding_mask=padding)
    p = {name: a.detach().numpy() for name, a in module.named_parameters()}
    out = manual.multi_head_attention(
        x.numpy(), x.numpy(), x.numpy(), p["in_proj_weight"], p["in_proj_bias"],
        p["out_proj.weight"], p["out_proj.bias"], padding.numpy(), num_heads=3,
    )  # fmt: skip
    np.testing.assert_allclose(out, twin.detach(), rtol=1e-12, atol=1e-14)


def test_projections_of_another_size_are_refused() -> None:
    x, out = np.ones((2, 5, 6)), (np.ones((6, 6)), np.ones(6))
    for weight, bias, said in (
        (np.ones((18, 5)), np.ones(18), "in_proj_weight has shape"),
        (np.ones((18, 6)), np.ones((18, 1)), "in_proj_bias has shape"),
    ):
        with pytest.raises(ValueError, match=said):
            manual.multi_head_attention(x, x, x, weight, bias, *out, None, num_heads=3)


def test_products_of_rotated_vectors_depend_on_their_distance_alone() -> None:
    """The same query and key at every place: q_i . k_j is one number for each i - j."""
    rng = np.random.default_rng(1)
    query, key = (np.tile(rng.normal(size=8), (6, 1)) for _ in "qk")
    for interleaved in (False, True):
        q, k = (manual.rotary_positions(x, interleaved=interleaved) for x in (query, key))
        scores = q @ k.T
        for distance in range(-5, 6):
            along = np.diagonal(scores, distance)
            np.testing.assert_allclose(along, along[0], rtol=1e-12)


def test_sinusoidal_positions_are_those_of_the_paper() -> None:
    added = manual.sinusoidal_positions(np.zeros((7, 6)))
    for position in range(7):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            found = added[position, 2 * i : 2 * i + 2]
            np.testing.assert_allclose(found, [np.sin(angle), np.cos(angle)], rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: manual.scaled_dot_product_attention(QUERY, KEY, VALUE, HIDDEN * 1.0), "float64"),
        (lambda: manual.scaled_dot_product_attention(QUERY, KEY, VALUE, HIDDEN, HIDDEN), "none or"),
        (lambda: manual.rotary_positions(np.ones((2, 5))), "even number"),
        (lambda: manual.sinusoidal_positions(np.ones((2, 5))), "even number"),
        (
            lambda: manual.multi_head_attention(
                *np.ones((3, 1, 2, 4)), np.ones((12, 4)), np.ones(12), np.ones((4, 4)), np.ones(4),
                num_heads=3,
            ),
            "num_heads=3 divides",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
