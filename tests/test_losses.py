"""Losses on numbers worked out by hand, their ties, and what they refuse."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.drawn import case_and_data, steps
from torch_parity import manual
from torch_parity.compare.errors import InputError
from torch_parity.compare.sources import pair

Z = np.log([[1.0, 2.0, 1.0], [3.0, 1.0, 4.0], [1.0, 1.0, 6.0]])  # softmax in quarters and eighths
Y = np.array([1, 0, 2])


def test_class_weights_divide_the_mean_by_their_sum() -> None:
    loss = manual.cross_entropy(Z, Y, weight=(2.0, 1.0, 5.0))
    right = (np.log(2) + 2 * np.log(8 / 3) + 5 * np.log(8 / 6)) / (1 + 2 + 5)
    assert loss == pytest.approx(right, rel=1e-15)


def test_an_ignored_sample_is_not_counted() -> None:
    loss = manual.cross_entropy(Z, Y, ignore_index=0)
    assert loss == pytest.approx((np.log(2) + np.log(8 / 6)) / 2, rel=1e-15)
    assert not manual.cross_entropy_backward(Z, Y, ignore_index=0)[1].any()


def test_smoothing_takes_from_the_right_class_and_gives_to_all() -> None:
    loss = manual.cross_entropy(Z[:1], Y[:1], label_smoothing=0.3)
    right = 0.7 * np.log(2) + 0.1 * (np.log(4) + np.log(2) + np.log(4))
    assert loss == pytest.approx(right, rel=1e-15)


@pytest.mark.parametrize("weight", [None, (2.0, 1.0, 5.0)])
def test_all_ignored_is_torchs_nan_with_a_gradient_of_0(weight: tuple[float, ...] | None) -> None:
    y = np.full(3, -100)
    z = torch.tensor(Z, requires_grad=True)
    of_classes = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    loss = F.cross_entropy(z, torch.tensor(y), of_classes)
    loss.backward()
    assert np.isnan(manual.cross_entropy(Z, y, weight=weight))
    assert loss.isnan()
    assert z.grad is not None
    ours = manual.cross_entropy_backward(Z, y, weight=weight)
    np.testing.assert_array_equal(ours, z.grad.numpy())


def test_a_score_of_minus_infinity_is_an_impossible_class() -> None:
    z = np.array([[0.0, -np.inf, 0.0]])
    assert manual.cross_entropy(z, np.array([2])) == pytest.approx(np.log(2), rel=1e-15)


def test_the_hinge_of_several_classes() -> None:
    z, y = np.array([[0.0, 0.5, 2.0]]), np.array([1])
    assert manual.multi_margin_loss(z, y) == pytest.approx((0.5 + 2.5) / 3, rel=1e-15)
    np.testing.assert_allclose(
        manual.multi_margin_loss_backward(z, y), [[1 / 3, -2 / 3, 1 / 3]], rtol=1e-15
    )


def test_just_at_its_margin_a_class_has_no_slope() -> None:
    """As in torch; so says the complex step of the forward as well."""
    z, y = np.array([[0.0, 0.5, -0.5]]), np.array([1])  # 0.5 - 0.5 + 0 is the margin's
    step = np.array([[1e-200j, 0, 0]])
    assert np.imag(manual.multi_margin_loss(z + step, y, margin=0.5)) == 0
    found = manual.multi_margin_loss_backward(z, y, margin=0.5)
    t = torch.tensor(z, requires_grad=True)
    F.multi_margin_loss(t, torch.tensor(y), margin=0.5).backward()
    assert t.grad is not None
    assert not found.any()
    np.testing.assert_array_equal(found, t.grad.numpy())


def test_smooth_l1_and_huber_where_they_bend() -> None:
    a, y = np.array([[0.5, -2.0]]), np.zeros((1, 2))
    assert manual.smooth_l1_loss(a, y, beta=0.5, reduction="sum") == 0.25 + 1.75
    assert manual.huber_loss(a, y, delta=0.5, reduction="sum") == 0.125 + 0.5 * 1.75
    assert manual.l1_loss(a, y, reduction="sum") == 2.5


def test_a_triplet_of_which_the_positive_swaps() -> None:
    """3-4-5 triangles: near 5, far 5 from the anchor and 3 from the positive."""
    a, p, n = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]), np.array([[0.0, 5.0]])
    assert manual.triplet_margin_loss(a, p, n, eps=0.0) == 1.0
    n = np.array([[3.0, 1.0]])
    plain = manual.triplet_margin_loss(a, p, n, eps=0.0)
    assert plain == pytest.approx(5 - np.sqrt(10) + 1, rel=1e-15)
    assert manual.triplet_margin_loss(a, p, n, eps=0.0, swap=True) == 5 - 3 + 1


@pytest.mark.parametrize(
    ("negative", "swap"),
    [((3.0, 4.0), False), ((2.0, 1.5), True)],
    ids=["a loss of exactly 0", "both second distances equal"],
)
def test_ties_of_the_triplet_loss_are_torchs(negative: tuple[float, float], swap: bool) -> None:
    a, p, n = np.zeros((1, 2)), np.array([[4.0, 0.0]]), np.array([negative])
    tensors = [torch.tensor(x, requires_grad=True) for x in (a, p, n)]
    loss = F.triplet_margin_loss(*tensors, eps=0.0, swap=swap)
    assert loss == (2.5 if swap else 0)
    theirs = torch.autograd.grad(loss, tensors)
    ours = manual.triplet_margin_loss_backward(a, p, n, eps=0.0, swap=swap)
    for mine, torchs in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, torchs.numpy(), rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: manual.cross_entropy(Z, Y, weight=(1.0, 2.0)), "2 numbers, for 3 classes"),
        (lambda: manual.cross_entropy(Z, np.array([1, -5, 2])), "classes -5..2, expected 0..2"),
        (lambda: manual.cross_entropy(Z, Y * 1.0), "of an integer type"),
        (lambda: manual.multi_margin_loss(Z, Y + 1), "classes 1..3, expected 0..2"),
        (lambda: manual.multi_margin_loss(Z[..., None], Y[:, None]), "y has shape"),
        (lambda: manual.multi_margin_loss_backward(Z[..., None], Y[:, None]), "y has shape"),
        (lambda: manual.smooth_l1_loss(Z, Z, beta=0.0), "beta is 0.0"),
        (lambda: manual.huber_loss(Z, Z, delta=-1.0), "delta is -1.0"),
        (lambda: manual.triplet_margin_loss(Z, Z, Z[:1]), "negative has shape"),
        (lambda: manual.triplet_margin_loss(Z, Z, Z, margin=0.0), "margin is 0.0"),
    ],
)
def test_what_does_not_fit_is_refused(call: object, said: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=said):
        call()


OF_TARGETS = [
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss",
    "binary_cross_entropy", "binary_cross_entropy_with_logits",
]  # fmt: skip


@pytest.mark.parametrize("name", OF_TARGETS)
def test_a_target_that_would_be_broadcast_is_refused(name: str) -> None:
    """NumPy would repeat it, and the loss would be that of other samples."""
    a = np.full((2, 3), 0.25)
    for y in (np.ones(3), np.ones((1, 3)), np.ones((2, 1)), np.ones((2, 1, 3)), np.ones(())):
        for function in (getattr(manual, name), getattr(manual, f"{name}_backward")):
            with pytest.raises(ValueError, match=f"{name}.*y has shape"):
                function(a, y)


@pytest.mark.parametrize("seed", range(6))
def test_networks_with_the_newer_losses_and_optimizers_pass(seed: int) -> None:
    chosen = {
        "loss": ("l1_loss", "smooth_l1_loss", "huber_loss", "multi_margin_loss")[seed % 4],
        "optimizer": ("nesterov", "rmsprop", "adamw")[seed % 3],
        "dtype": ("float64", "float32")[seed % 2],
        "l2_route": "weight_decay",
    }
    torch.manual_seed(seed)
    for step in steps(*case_and_data(seed, **chosen)):
        found = step.judge_instead("manual", step.manual, len(step.start["y"]))
        assert found.passed, f"seed {seed}, {chosen}: {found.root}"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_margin_in_half_precision_on_a_cpu_is_refused(dtype: str) -> None:
    """torch has no kernel for it."""
    case, drawn = case_and_data(3, loss="multi_margin_loss", output="identity", optimizer="sgd")
    with pytest.raises(InputError, match="torch has none for the CPU"):
        pair.build(case.model_copy(update={"dtype": dtype}), drawn)
