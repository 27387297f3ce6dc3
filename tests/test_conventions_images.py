"""Where two right-looking norms, convolutions and pools part: ties, padding, one number, shapes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from torch_parity import manual


def torchs_gradient(f: Any, x: np.ndarray) -> np.ndarray:
    t = torch.tensor(x, requires_grad=True)
    f(t).sum().backward()
    assert t.grad is not None
    return t.grad.numpy()


def test_of_several_greatest_numbers_the_first_gets_all() -> None:
    """Half of all numbers are the greatest of their window."""
    x = np.random.default_rng(0).integers(0, 2, (3, 2, 6, 5)).astype(float)
    for options in ({"kernel_size": 2}, {"kernel_size": (3, 2), "stride": 1, "padding": 1}):
        out = manual.max_pool2d(x, **options)
        dinput = manual.max_pool2d_backward(np.ones(out.shape), x, **options)
        assert np.array_equal(dinput, torchs_gradient(lambda t, o=options: F.max_pool2d(t, **o), x))


def test_max_pool2d_passes_nan_on() -> None:
    x = np.array([[[[np.nan, 1.0], [2.0, 3.0]]]])
    assert np.isnan(manual.max_pool2d(x, kernel_size=2)).all()


def test_the_padding_of_max_pool2d_is_never_the_greatest() -> None:
    x = np.full((1, 1, 2, 2), -5.0)
    assert (manual.max_pool2d(x, kernel_size=2, stride=1, padding=1) == -5).all()


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (5, 4, 3, 2), (2, 4, 3, 2, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_takes_any_number_of_places(shape: tuple[int, ...], training: bool) -> None:
    rng = np.random.default_rng(3)
    at = [
        rng.normal(size=shape),
        rng.normal(size=4),
        rng.uniform(1, 2, 4),
        *rng.normal(size=(2, 4)),
    ]
    mean, var = torch.tensor(at[1]), torch.tensor(at[2])
    t = torch.tensor(at[0], requires_grad=True)
    out = F.batch_norm(t, mean, var, *map(torch.tensor, at[3:]), training, 0.3, 0.2)
    d = rng.normal(size=shape)
    out.backward(torch.tensor(d))
    ours = manual.batch_norm(*at, training=training, momentum=0.3, eps=0.2)
    for came, expected in zip(ours, (out.detach(), mean, var), strict=True):
        np.testing.assert_allclose(came, expected.numpy(), rtol=1e-13, atol=1e-13)
    dinput, *_ = manual.batch_norm_backward(d, *at[:4], training=training, eps=0.2)
    np.testing.assert_allclose(dinput, t.grad.numpy(), rtol=1e-13, atol=1e-13)  # type: ignore[union-attr]


def test_steps_of_batch_norm_track_torchs_module() -> None:
    """The state that comes out goes into the next step; then evaluation uses it."""
    rng = np.random.default_rng(5)
    module = torch.nn.BatchNorm2d(3, eps=0.01, momentum=0.25).double()
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(4):
        x = rng.normal(2, 3, (4, 3, 2, 5))
        expected = module(torch.tensor(x)).detach().numpy()
        at = (x, mean, var, np.ones(3), np.zeros(3))
        out, mean, var = manual.batch_norm(*at, training=True, momentum=0.25, eps=0.01)
        np.testing.assert_allclose(out, expected, rtol=1e-12)
    np.testing.assert_allclose(mean, module.running_mean.numpy(), rtol=1e-13)  # type: ignore[union-attr]
    np.testing.assert_allclose(var, module.running_var.numpy(), rtol=1e-13)  # type: ignore[union-attr]
    out, *_ = manual.batch_norm(x, mean, var, np.ones(3), np.zeros(3), training=False, eps=0.01)
    expected = module.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(out, expected, rtol=1e-12)


@pytest.mark.parametrize("output_size", [1, 2, 3, (5, 4), (7, 9), (11, 2)])
def test_adaptive_windows_are_torchs(output_size: Any) -> None:
    """Sizes that do not divide, and sizes above the image's."""
    x = np.random.default_rng(1).normal(size=(2, 3, 7, 9))
    expected = F.adaptive_avg_pool2d(torch.tensor(x), output_size).numpy()
    ours = manual.adaptive_avg_pool2d(x, output_size=output_size)
    np.testing.assert_allclose(ours, expected, rtol=1e-13)


def test_a_transposed_convolution_is_the_gradient_of_the_convolution() -> None:
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(2, 4, 7, 8)), rng.normal(size=(6, 2, 3, 2))
    how: dict[str, Any] = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
    dout = rng.normal(size=manual.conv2d(x, w, np.zeros(6), **how).shape)
    dinput, *_ = manual.conv2d_backward(dout, x, w, **how)
    transposed = manual.conv_transpose2d(dout, w, np.zeros(4), **how)
    assert np.array_equal(transposed, dinput)


x4, w4 = np.ones((2, 4, 5, 5)), np.ones((6, 2, 3, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: manual.conv2d(x4, w4, np.ones(6)), "input has shape"),
        (lambda: manual.conv2d(x4, w4, np.ones((6, 1)), groups=2), "bias has shape"),
        (lambda: manual.conv2d(x4, w4, np.ones(6), groups=2, dilation=3), "does not fit"),
        (lambda: manual.conv2d(x4, w4, np.ones(6), groups=2, stride=0), "expected 1 or more"),
        (lambda: manual.conv2d(x4, w4, np.ones(6), groups=2, padding=-1), "expected 0 or more"),
        (lambda: manual.conv2d(x4, w4, np.ones(6), groups=4), "groups=4"),
        (lambda: manual.conv_transpose2d(x4, w4, np.ones(3)), "input has shape"),
        (lambda: manual.conv2d(x4[0], w4, np.ones(6), groups=2), "input has shape"),
        (
            lambda: manual.conv_transpose2d(
                x4, np.ones((4, 3, 2, 2)), np.ones(3), output_padding=1
            ),
            "output_padding is",
        ),
        (
            lambda: manual.conv_transpose2d(
                np.ones((2, 4, 2, 5)), np.ones((4, 3, 1, 1)), np.ones(3), padding=1
            ),
            "nothing of",
        ),
        (lambda: manual.max_pool2d(x4, kernel_size=2, padding=2), "at most half"),
        (lambda: manual.max_pool2d(x4, kernel_size=3, padding=(2, 1)), "at most half"),
        (lambda: manual.max_pool2d(x4, kernel_size=3, padding=(1, 2)), "at most half"),
        (lambda: manual.avg_pool2d(x4, kernel_size=3, padding=2), "at most half"),
        (lambda: manual.adaptive_avg_pool2d(x4, output_size=0), "0 places"),
        (lambda: manual.adaptive_avg_pool2d(x4[:, :, :0], output_size=1), "1 places of 0 numbers"),
        (
            lambda: manual.conv_transpose2d(x4, np.ones((4, 3, 2, 2)), np.ones((3, 1))),
            "bias has shape",
        ),
        (lambda: manual.conv2d(x4, w4[0], np.ones(2)), "expected four axes"),
        (lambda: manual.linear(np.ones(()), np.ones((2, 3)), np.ones(2)), r"expected \(0, 3\)"),
        (lambda: manual.pad(x4, pad=(1, 2, 3)), "pad is"),
        (lambda: manual.pad(x4, pad=(1, -2)), "all 0 or more"),
        (lambda: manual.layer_norm(x4, np.ones(4), np.ones(4)), "input has shape"),
        (lambda: manual.layer_norm(x4, np.ones(5), np.ones((1, 5))), "bias has shape"),
        (lambda: manual.rms_norm(x4, np.ones((4, 5)), eps=1e-6), "input has shape"),
        (lambda: manual.group_norm(x4, np.ones(4), np.ones(4), num_groups=3), "num_groups=3"),
        (lambda: manual.group_norm(x4, np.ones(4), np.ones(5), num_groups=2), "bias has shape"),
        (lambda: manual.group_norm(x4, np.ones(5), np.ones(4), num_groups=2), "weight has shape"),
        (lambda: manual.max_pool2d(x4[..., :2], kernel_size=(1, 3)), "does not fit"),
        (lambda: manual.max_pool2d(x4[:, :, :2], kernel_size=(3, 1)), "does not fit"),
        (
            lambda: manual.rms_norm(np.ones((2, 3)), np.ones((4, 2, 5)), eps=1e-6),
            r"expected \(4, 2, 5\)",
        ),
        (
            lambda: manual.batch_norm(np.ones((2, 0)), *np.ones((4, 0)), training=True),
            r"expected more than one number",
        ),
        (
            lambda: manual.batch_norm(np.ones((1, 3)), *np.ones((4, 3)), training=True),
            "more than one number",
        ),
        (
            lambda: manual.batch_norm(np.ones((2, 3)), *np.ones((4, 2)), training=True),
            "running_mean has shape",
        ),
        *(
            (
                lambda i=i: manual.batch_norm(
                    np.ones((2, 3)), *(np.ones(4 if i == k else 3) for k in range(4)), training=True
                ),
                f"{name} has shape",
            )
            for i, name in enumerate(("running_mean", "running_var", "weight", "bias"))
        ),
        (
            lambda: manual.layer_norm(np.ones((2, 3)), *np.ones((2, 4, 2, 5))),
            r"expected \(4, 2, 5\)",
        ),
    ],
)
def test_what_would_broadcast_or_has_no_value_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_single_channel_is_normalized() -> None:
    x, dout = np.array([[1.0], [4.0]]), np.array([[1.0], [0.5]])
    ones, zeros = np.ones(1), np.zeros(1)
    state = zeros, ones, 2 * ones, 3 * ones
    out, *_ = manual.batch_norm(x, *state, training=True)
    t = torch.tensor(x, requires_grad=True)
    weight, bias = map(torch.tensor, state[2:])
    twin = F.batch_norm(t, None, None, weight, bias, training=True)
    np.testing.assert_allclose(out, twin.detach(), rtol=1e-12)
    twin.backward(torch.tensor(dout))
    assert t.grad is not None
    dinput, *_ = manual.batch_norm_backward(dout, x, *state[:3], training=True)
    np.testing.assert_allclose(dinput, t.grad, rtol=1e-9)


def test_a_window_may_be_longer_than_the_other_side_of_the_image() -> None:
    tall, wide = np.arange(10.0).reshape(1, 1, 5, 2), np.arange(10.0).reshape(1, 1, 2, 5)
    found = manual.max_pool2d(tall, kernel_size=(4, 1), stride=1)
    np.testing.assert_array_equal(found, [[[[6, 7], [8, 9]]]])
    found = manual.max_pool2d(wide, kernel_size=(1, 4), stride=1)
    np.testing.assert_array_equal(found, [[[[3, 4], [8, 9]]]])


def test_a_frame_may_leave_a_single_number_of_a_transposed_convolution() -> None:
    x, w, b = np.ones((2, 4, 1, 2)), np.ones((4, 3, 3, 2)), np.arange(3.0)
    found = manual.conv_transpose2d(x, w, b, padding=1)
    assert found.shape == (2, 3, 1, 1)
    np.testing.assert_array_equal(found[0, :, 0, 0], 8 + b)  # of two places and four channels


def test_a_single_group_is_a_layer_norm_of_each_sample() -> None:
    rng = np.random.default_rng(6)
    at = rng.normal(size=(3, 4, 2, 5)), rng.normal(size=4), rng.normal(size=4)
    x, weight, bias = map(torch.tensor, at)
    twin = F.group_norm(x, 1, weight, bias)
    np.testing.assert_allclose(manual.group_norm(*at, num_groups=1), twin, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_any_number_of_axes_is_padded(axes: int) -> None:
    x, pad = (
        np.random.default_rng(7).normal(size=(2, 3, 4, 5)),
        (1, 2, 0, 3, 4, 0, 2, 1)[: 2 * axes],
    )
    np.testing.assert_array_equal(manual.pad(x, pad=pad), F.pad(torch.tensor(x), pad))
