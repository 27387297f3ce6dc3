"""The corners where two right-looking sides part: 0, saturation, shapes, bad arguments."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from torch_parity import manual

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.mark.parametrize(
    ("name", "twin"),
    [("relu", torch.relu), ("leaky_relu", F.leaky_relu), ("sigmoid", torch.sigmoid)],
)
def test_slope_at_zero_is_torchs(name: str, twin: object) -> None:
    z = np.array([[0.0, -0.0]])
    t = torch.tensor(z, requires_grad=True)
    twin(t).backward(torch.ones(1, 2, dtype=torch.float64))  # type: ignore[operator]
    ours = getattr(manual, f"{name}_backward")(np.ones((1, 2)), z)
    assert np.array_equal(ours, t.grad.numpy())  # type: ignore[union-attr]


@both_dtypes
def test_sigmoid_and_losses_survive_hundreds(dtype: str) -> None:
    z = np.array([[-800.0, 750.0], [500.0, -300.0]], dtype=dtype)
    y = np.array([[1.0, 0.0], [1.0, 0.0]], dtype=dtype)
    a = manual.sigmoid(z)
    expected = torch.sigmoid(torch.tensor(z)).numpy()
    tiny = np.finfo(dtype).tiny  # torch overflows on the way and so gives 0 below it
    np.testing.assert_allclose(a, expected, rtol=4 * np.finfo(dtype).eps, atol=tiny)
    logits = manual.binary_cross_entropy_with_logits(z, y)
    assert logits == F.binary_cross_entropy_with_logits(torch.tensor(z), torch.tensor(y)).item()
    assert logits == pytest.approx((800 + 750) / 4)
    clamped = manual.binary_cross_entropy(np.array([[0.0, 1.0]], dtype), np.array([[1.0, 0.0]]))
    assert clamped == 100  # torch's floor of the log
    scores = np.array([[900.0, -900.0, 0.0]], dtype=dtype)
    loss = manual.cross_entropy(scores, np.array([1]))
    assert loss == F.cross_entropy(torch.tensor(scores), torch.tensor([1])).item() == 1800


@both_dtypes
def test_saturated_binary_cross_entropy_has_torchs_slope(dtype: str) -> None:
    """torch's floor under a (1 - a) is a float32 constant even in float64: 4e-9 off 1e-12."""
    a = np.array([[0.0, 1.0, 1e-14, 1.0]], dtype=dtype)
    y = np.array([[1.0, 0.0, 0.0, 1.0]], dtype=dtype)
    t = torch.tensor(a, requires_grad=True)
    F.binary_cross_entropy(t, torch.tensor(y)).backward()
    ours = manual.binary_cross_entropy_backward(a, y)
    np.testing.assert_allclose(ours, t.grad.numpy(), rtol=4 * np.finfo(dtype).eps)  # type: ignore


def test_relu_backward_of_an_infinite_gradient_is_nan() -> None:
    """Stated in its docstring: the fast product parts from torch here, where training is lost."""
    with np.errstate(invalid="ignore"):
        assert np.isnan(manual.relu_backward(np.array([[np.inf]]), np.array([[-1.0]])))


def test_relu_keeps_nan_and_infinity() -> None:
    assert np.array_equal(
        manual.relu(np.array([np.nan, np.inf, -np.inf])), [np.nan, np.inf, 0], equal_nan=True
    )


@pytest.mark.parametrize("reduction", ["average", None])
@pytest.mark.parametrize("backward", ["", "_backward"])
def test_unknown_reduction(reduction: str, backward: str) -> None:
    with pytest.raises(ValueError, match='expected "mean" or "sum"'):
        getattr(manual, "mse_loss" + backward)(
            np.ones((2, 3)), np.ones((2, 3)), reduction=reduction
        )


def test_no_reduction_leaves_the_losses_apart_and_has_no_backward() -> None:
    """As in torch: "grad can be implicitly created only for scalar outputs"."""
    a, y = np.array([[1.0, 2.0]]), np.array([[0.0, 5.0]])
    assert np.array_equal(manual.mse_loss(a, y, reduction="none"), [[1.0, 9.0]])
    z = np.array([[0.0, 0.0], [0.0, 0.0]])
    assert np.allclose(manual.cross_entropy(z, np.array([0, 1]), reduction="none"), np.log([2, 2]))
    with pytest.raises(ValueError, match='expected "mean" or "sum"'):
        manual.mse_loss_backward(a, y, reduction="none")


@pytest.mark.parametrize(
    "name", ["binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss"]
)
@pytest.mark.parametrize("backward", ["", "_backward"])
def test_targets_are_never_broadcast(name: str, backward: str) -> None:
    """(m,) against (m, 1) would give an (m, m) table of differences."""
    with pytest.raises(ValueError, match=r"y has shape \(4,\), expected \(4, 1\)"):
        getattr(manual, name + backward)(np.full((4, 1), 0.5), np.ones(4))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, 3]), r"classes 0..3, expected 0..2"),
        (np.array([-1, 2]), r"classes -1..2, expected 0..2"),
        (np.array([0.0, 1.0]), "expected class indices of an integer type"),
        (np.array([[0], [1]]), r"y has shape \(2, 1\), expected \(2,\)"),
    ],
)
@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy_backward"])
def test_class_indices_are_checked(name: str, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(manual, name)(np.ones((2, 3)), y)


def test_linear_refuses_a_bias_column_and_other_widths() -> None:
    x, W = np.ones((3, 2)), np.ones((3, 2))
    with pytest.raises(ValueError, match=r"b has shape \(3, 1\), expected \(3,\)"):
        manual.linear(x, W, np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"x has shape \(3, 4\), expected \(3, 2\)"):
        manual.linear(np.ones((3, 4)), W, np.ones(3))


def test_probabilities_are_checked() -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        manual.binary_cross_entropy(np.array([[1.5]]), np.array([[1.0]]))


def test_dropout_refuses_a_mask_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"mask has shape \(5,\), expected \(3, 5\)"):
        manual.dropout(np.ones((3, 5)), np.ones(5))
