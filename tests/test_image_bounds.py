"""How large the bounds are on the way through images: convolutions, poolings, changes of shape.

Each rule is worked out on paper and summed here by plain loops over the places of a window.
Variances are in u^2, u = 2^-53. Every network begins with an identity of a parameter p, so what the
operation reads, h = p, has (8 p)^2. At the end the absolute error of an image is a product with 1
or -1: its gradient has (3 u)^2.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.recorded_block import U, arrived, block_of, same, variances
from torch_parity import manual
from torch_parity.manual.gradients.image_rows import ImageRows, at_ties
from torch_parity.manual.gradients.tangents import Uncertain

rng = np.random.default_rng(41)
Pair = tuple[int, int]


def windows(
    a: np.ndarray, kernel: Pair, stride: Pair = (1, 1), dilation: Pair = (1, 1)
) -> np.ndarray:
    """What each place sees, loop by loop             # [m, c, h, w] -> [m, h', w', c, kh, kw]"""
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    height = (a.shape[2] - (kh - 1) * dh - 1) // sh + 1
    width = (a.shape[3] - (kw - 1) * dw - 1) // sw + 1
    seen = np.zeros((len(a), height, width, a.shape[1], kh, kw))
    for y, x, i, j in itertools.product(range(height), range(width), range(kh), range(kw)):
        seen[:, y, x, :, i, j] = a[:, :, y * sh + i * dh, x * sw + j * dw]
    return seen


def framed(a: np.ndarray, padding: Pair) -> np.ndarray:
    ph, pw = padding
    out = np.zeros((*a.shape[:2], a.shape[2] + 2 * ph, a.shape[3] + 2 * pw))
    out[:, :, ph : ph + a.shape[2], pw : pw + a.shape[3]] = a
    return out


def added(
    seen: np.ndarray,
    shape: tuple[int, ...],
    padding: Pair = (0, 0),
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """The other way round: each number added up where it was seen."""
    (ph, pw), (sh, sw), (dh, dw) = padding, stride, dilation
    out = framed(np.zeros(shape), padding)
    _, height, width, _, kh, kw = seen.shape
    for y, x, i, j in itertools.product(range(height), range(width), range(kh), range(kw)):
        out[:, :, y * sh + i * dh, x * sw + j * dw] += seen[:, y, x, :, i, j]
    return out[:, :, ph : ph + shape[2], pw : pw + shape[3]]


def signs(shape: tuple[int, ...]) -> np.ndarray:
    return rng.choice([-1.0, 1.0], shape)


def behind_identity(
    operation: Callable[..., np.ndarray], p: np.ndarray, *others: np.ndarray, **options: Any
) -> tuple[Any, np.ndarray]:
    """The block of operation(h, *others), and the gradient 1 or -1 of each number that it makes."""
    g = signs(operation(p, *others, **options).shape)
    given = {"p": p} | {f"p{i}": other for i, other in enumerate(others)}

    def forward(at: Any) -> np.ndarray:
        names = (f"p{i}" for i in range(len(others)))
        return operation(manual.identity(at["p"]), *(at[n] for n in names), **options)

    return block_of(forward, given, operation(p, *others, **options) - g), g


CONVOLVED: list[dict[str, Any]] = [
    {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)},
    {"stride": (1, 3), "padding": (0, 2), "dilation": (2, 1)},
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", CONVOLVED)
def test_a_convolution(options: dict[str, Any], bias: bool) -> None:
    """A sum of n = 3 * 2 * 3 products, each of h with (8 h)^2 + (n + 3)^2 h^2, and (n + 1)^2 b^2.

    Back: of each number a window sees, a sum over 4 channels of gradients with 3^2 + (4 + 3)^2;
    each of them (n + 3)^2 of its square more where the windows' shares are added up. dW is a sum
    over all R places, db as well: 3^2 + (R + 3)^2, and for dW what h brings itself.
    """
    h, W, b = rng.normal(size=(2, 3, 5, 6)), rng.normal(size=(4, 3, 2, 3)), rng.normal(size=4)
    stride, padding, dilation = (options[k] for k in ("stride", "padding", "dilation"))
    if bias:
        block, g = behind_identity(manual.conv2d, h, W, b, **options)
    else:
        block, g = behind_identity(manual.conv2d_no_bias, h, W, **options)
    n, kernel = 18, (2, 3)
    seen = windows(framed(h, padding), kernel, stride, dilation)
    of_sum = np.einsum("myxcij,ocij->moyx", (64 + (n + 3) ** 2) * seen**2, W**2)
    more = ((n + 1) * b[:, None, None]) ** 2 if bias else 0
    np.testing.assert_allclose(variances(block)[1], of_sum + more, rtol=1e-12)
    shares = np.einsum("moyx,ocij->myxcij", g, W)
    of_shares = np.einsum("moyx,ocij->myxcij", (9 + 49) * g**2, W**2) + ((n + 3) * shares) ** 2
    back = (h.shape, padding, stride, dilation)
    same(arrived(block, 0), added(shares, *back), added(of_shares, *back))
    R = g.size // 4
    dW = np.einsum("moyx,myxcij->ocij", g, seen)
    of_dW = np.einsum("moyx,myxcij->ocij", g**2, (9 + (R + 3) ** 2 + 64) * seen**2)
    same(block.gradients["p0"], dW, of_dW)
    if bias:
        same(block.gradients["p1"], g.sum(axis=(0, 2, 3)), (9 + (R + 3) ** 2) * R)


def test_a_linear_layer_of_sequences() -> None:
    """Two sequences of three steps: the same as a convolution with a kernel of 1 number: n = 5."""
    h, W, b = rng.normal(size=(2, 3, 5)), rng.normal(size=(4, 5)), rng.normal(size=4)
    block, g = behind_identity(manual.linear, h, W, b)
    of_sum = (64 + 8**2) * h**2 @ (W**2).T + 36 * b**2
    np.testing.assert_allclose(variances(block)[1], of_sum, rtol=1e-12)
    same(arrived(block, 0), g @ W, (9 + 49) * g**2 @ W**2 + (8 * (g @ W)) ** 2)
    dW = np.einsum("sto,sti->oi", g, h)
    same(block.gradients["p0"], dW, (9 + 9**2 + 64) * np.einsum("sto,sti->oi", g**2, h**2))
    same(block.gradients["p1"], g.sum(axis=(0, 1)), (9 + 9**2) * 6)
    assert not block.followed


MEANS: list[dict[str, Any]] = [
    {"kernel_size": (2, 4)},
    {"kernel_size": (2, 4), "stride": (3, 1)},
    {"kernel_size": 2, "stride": None},
]


@pytest.mark.parametrize("options", MEANS)
def test_a_mean_of_each_window(options: dict[str, Any]) -> None:
    """A number has the slope s = 1 / n, with (8 + 8 s)^2, and (8 out)^2 is the result's own.

    Back: (3^2 + 4^2) s^2 and what the slope brings; then (n + 3)^2 s^2 where they are added up.
    """
    h = rng.normal(size=(2, 3, 5, 8))
    block, g = behind_identity(manual.avg_pool2d, h, **options)
    kernel: Pair = (2, 4) if options["kernel_size"] != 2 else (2, 2)
    stride = options.get("stride") or kernel
    n = kernel[0] * kernel[1]
    seen, s = windows(h, kernel, stride), 1 / n
    of_mean = (64 * s**2 * seen**2).sum(axis=(-2, -1)) + (8 * seen.mean(axis=(-2, -1))) ** 2
    np.testing.assert_allclose(variances(block)[1], of_mean.transpose(0, 3, 1, 2), rtol=1e-12)
    of_share = 9 * s**2 + (8 * (1 + s)) ** 2 + (4 * s) ** 2 + ((n + 3) * s) ** 2
    shares = np.ones(seen.shape) * g.transpose(0, 2, 3, 1)[..., None, None] * s
    back = (h.shape, (0, 0), stride)
    same(arrived(block, 0), added(shares, *back), added(of_share * np.ones(seen.shape), *back))


def test_the_mean_of_each_channel_in_two_ways() -> None:
    h = rng.normal(size=(2, 3, 5, 7))
    y = np.full((2, 3, 1, 1), 9.0)

    def block(operation: Callable[..., np.ndarray], **options: Any) -> Any:
        return block_of(lambda at: operation(manual.identity(at["p"]), **options), {"p": h}, y)

    pooled = block(manual.avg_pool2d, kernel_size=(5, 7))
    for size in (1, (1, 1)):
        adaptive = block(manual.adaptive_avg_pool2d, output_size=size)
        assert not adaptive.followed
        for one, other in zip(variances(adaptive), variances(pooled), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
        expected = arrived(pooled, 0)
        same(arrived(adaptive, 0), expected.value, expected.variance / U**2)


@pytest.mark.parametrize("size", [(2, 1), (1, 2)])
def test_a_mean_of_more_than_one_place_a_channel_is_followed(size: Pair) -> None:
    h = rng.normal(size=(2, 3, 4, 6))
    block, g = behind_identity(manual.adaptive_avg_pool2d, h, output_size=size)
    assert len(block.followed) == 1
    step = (4 // size[0], 6 // size[1])
    repeated = g.repeat(step[0], axis=2).repeat(step[1], axis=3)
    np.testing.assert_allclose(arrived(block, 0).value, repeated / (step[0] * step[1]), rtol=1e-12)


POOLED: list[dict[str, Any]] = [
    {"kernel_size": (2, 3)},
    {"kernel_size": (2, 3), "stride": (1, 2)},
    {"kernel_size": (2, 3), "stride": (2, 1), "dilation": (3, 2)},
]


@pytest.mark.parametrize("options", POOLED)
def test_the_greatest_of_each_window(options: dict[str, Any]) -> None:
    """The slope of the greatest is 1, with 16^2; that of any other 0, with 8^2; n = 6.

    Back: 3^2 + 4^2 of the one and its slope's, and (n + 3)^2 where they are added up.
    """
    h = rng.normal(size=(2, 3, 6, 9))
    block, g = behind_identity(manual.max_pool2d, h, **options)
    stride = options.get("stride", (2, 3))
    dilation = options.get("dilation", (1, 1))
    seen = windows(h, (2, 3), stride, dilation)
    greatest = seen.max(axis=(-2, -1))
    of_greatest = (64 + 64) * greatest**2
    np.testing.assert_allclose(variances(block)[1], of_greatest.transpose(0, 3, 1, 2), rtol=1e-12)
    first = seen == greatest[..., None, None]
    shares = first * g.transpose(0, 2, 3, 1)[..., None, None]
    of_shares = np.where(first, 256 + 9 + 16 + 81, 64)
    back = (h.shape, (0, 0), stride, dilation)
    same(arrived(block, 0), added(shares, *back), added(of_shares, *back))
    assert not arrived(block, 0).jump.any()


def test_of_numbers_within_eight_deviations_any_may_be_the_greatest() -> None:
    """One deviation of p is 8 |p| u, so the reach is 64 u of each: 1 - 60 u is within that of 1,
    and 1 - 66 u is not. Of the two that may be it, each has the slope 1/2, give or take 1/2."""
    rows = [[1.0, 1 - 60 * U, 1 - 66 * U, -3.0], [0.5, 0.25, 2.0, 2 - 140 * U]]
    h = np.array(rows).reshape(1, 2, 2, 2)
    block, g = behind_identity(manual.max_pool2d, h, kernel_size=2)
    of_rows = [64 * (1 + (1 - 60 * U) ** 2) + 64, 128 * 4]
    np.testing.assert_allclose(variances(block)[1].ravel(), of_rows, rtol=1e-12)
    share = np.array([[0.5, 0.5, 0, 0], [0, 0, 1, 0]]).reshape(h.shape) * g
    of_share = np.array([[0.25, 0.25, 0, 0], [0, 0, 1, 0]]) * (9 + 16 + 49)
    of_share[1] += [64, 64, 256, 64]
    jump = np.array([[0.5, 0.5, 0, 0], [0, 0, 0, 0]]).reshape(h.shape)
    same(arrived(block, 0), share, of_share.reshape(h.shape), jump)


def test_ties_of_each_row() -> None:
    """Reach 0: two that are equal are tied, and one alone is not."""
    rows = np.array([[3.0, 1.0, 3.0], [5.0, 4.0, 1.0], [1.0, 9.0, 8.5]])
    reach = np.array([[0.0] * 3, [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]])
    value = np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]])[..., None]
    given = Uncertain(value, np.full(value.shape, 2 * U**2), np.zeros(()))
    found = at_ties(given, rows, reach)
    same(
        found,
        np.array([[0.5, 0, 0.5], [1, 0, 0], [0, 0.5, 0.5]])[..., None],
        np.array([[0.0] * 3, [2.0] * 3, [0.0] * 3])[..., None],
        np.array([[0.5, 0, 0.5], [0, 0, 0], [0, 0.5, 0.5]])[..., None],
    )


def test_a_change_of_shape() -> None:
    """It counts as a function of each number: (8 p)^2 more; back (2 * 8)^2, and (1 + 3)^2 where it
    is added up."""
    h = rng.normal(size=(2, 3, 4))
    block, g = behind_identity(manual.reshape, h, shape=(4, 2, 3))
    np.testing.assert_allclose(variances(block)[1], 128 * h.reshape(4, 2, 3) ** 2, rtol=1e-12)
    same(arrived(block, 0), g.reshape(h.shape), 9 + 256 + 16)
    assert not block.followed


def test_each_number_is_added_up_where_it_was_gathered() -> None:
    """Rows of 3 numbers of a 2 x 2 image, whose last place nothing reads: (3 + 3)^2 of each."""
    rows = ImageRows((1, 1, 2, 2), np.array([[0, -1, 1], [1, 2, 0]]), np.arange(2), (1, 1, 1, 2))
    given = Uncertain(
        np.array([[1.0, 50.0, 3.0], [-2.0, 4.0, 5.0]]),
        np.array([[1.0, 50.0, 2.0], [3.0, 4.0, 5.0]]) * U**2,
        np.array([[0.5, 50.0, 0.25], [0.0, 2.0, 1.0]]),
    )
    same(
        rows.spread(given),
        np.array([6.0, 1.0, 4.0, 0.0]).reshape(1, 1, 2, 2),
        np.array([6 + 36 * 26, 5 + 36 * 13, 4 + 36 * 16, 0.0]).reshape(1, 1, 2, 2),
        np.array([1.5, 0.25, 2.0, 0.0]).reshape(1, 1, 2, 2),
    )
