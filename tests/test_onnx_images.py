"""Operations on images and norms against the numbers of ONNX's node tests, entered as data.

Source: onnx/backend/test/case/node/ of github.com/onnx/onnx (conv, convtranspose, maxpool,
averagepool, batchnorm). Each case bears the name of ONNX's test.
"""

from typing import Any

import numpy as np
import pytest

from torch_parity import manual

Case = tuple[str, np.ndarray, dict[str, Any], list[list[float]]]


def image(begin: int, height: int, width: int) -> np.ndarray:
    """Whole numbers from begin, row by row."""
    return np.arange(begin, begin + height * width, dtype=float).reshape(1, 1, height, width)


BOXES: list[Case] = [
    ("basic_conv_with_padding", image(0, 5, 5), {"padding": 1},
     [[12, 21, 27, 33, 24], [33, 54, 63, 72, 51], [63, 99, 108, 117, 81],
      [93, 144, 153, 162, 111], [72, 111, 117, 123, 84]]),
    ("basic_conv_without_padding", image(0, 5, 5), {},
     [[54, 63, 72], [99, 108, 117], [144, 153, 162]]),
    ("conv_with_strides_padding", image(0, 7, 5), {"padding": 1, "stride": 2},
     [[12, 27, 24], [63, 108, 81], [123, 198, 141], [112, 177, 124]]),
    ("conv_with_strides_no_padding", image(0, 7, 5), {"stride": 2},
     [[54, 72], [144, 162], [234, 252]]),
    ("conv_with_strides_and_asymmetric_padding", image(0, 7, 5),
     {"padding": (1, 0), "stride": 2}, [[21, 33], [99, 117], [189, 207], [171, 183]]),
]  # fmt: skip

SPREAD: list[Case] = [
    ("convtranspose", image(0, 3, 3), {},
     [[0, 1, 3, 3, 2], [3, 8, 15, 12, 7], [9, 21, 36, 27, 15], [9, 20, 33, 24, 13],
      [6, 13, 21, 15, 8]]),
    ("convtranspose_pad", image(0, 3, 3), {"stride": (3, 2), "output_padding": 1},
     [*[[0, 0, 1, 1, 3, 2, 2, 0]] * 3, *[[3, 3, 7, 4, 9, 5, 5, 0]] * 3,
      *[[6, 6, 13, 7, 15, 8, 8, 0]] * 3, [0] * 8]),
    ("convtranspose_pads", image(0, 3, 3), {"stride": (3, 2), "padding": (1, 2)},
     [*[[1, 1, 3]] * 2, *[[7, 4, 9]] * 3, *[[13, 7, 15]] * 2]),
]  # fmt: skip

GREATEST: list[Case] = [
    ("maxpool_2d_precomputed_pads", image(1, 5, 5),
     {"kernel_size": 5, "stride": 1, "padding": 2},
     [[13, 14, 15, 15, 15], [18, 19, 20, 20, 20], *[[23, 24, 25, 25, 25]] * 3]),
    ("maxpool_2d_precomputed_strides", image(1, 5, 5), {"kernel_size": 2}, [[7, 9], [17, 19]]),
    ("maxpool_2d_precomputed_same_upper", image(1, 5, 5),
     {"kernel_size": 3, "stride": 2, "padding": 1}, [[7, 9, 10], [17, 19, 20], [22, 24, 25]]),
    ("maxpool_2d_dilations", image(1, 4, 4), {"kernel_size": 2, "stride": 1, "dilation": 2},
     [[11, 12], [15, 16]]),
]  # fmt: skip

MEANS: list[Case] = [
    ("averagepool_2d_precomputed_pads", image(1, 5, 5),
     {"kernel_size": 5, "stride": 1, "padding": 2, "count_include_pad": False},
     [[7, 7.5, 8, 8.5, 9], [9.5, 10, 10.5, 11, 11.5], [12, 12.5, 13, 13.5, 14],
      [14.5, 15, 15.5, 16, 16.5], [17, 17.5, 18, 18.5, 19]]),
    ("averagepool_2d_precomputed_pads_count_include_pad", image(1, 5, 5),
     {"kernel_size": 5, "stride": 1, "padding": 2},
     [[2.52, 3.6, 4.8, 4.08, 3.24], [4.56, 6.4, 8.4, 7.04, 5.52], [7.2, 10, 13, 10.8, 8.4],
      [6.96, 9.6, 12.4, 10.24, 7.92], [6.12, 8.4, 10.8, 8.88, 6.84]]),
    ("averagepool_2d_precomputed_strides", image(1, 5, 5), {"kernel_size": 2}, [[4, 6], [14, 16]]),
    ("averagepool_2d_precomputed_same_upper", image(1, 5, 5),
     {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
     [[4, 5.5, 7], [11.5, 13, 14.5], [19, 20.5, 22]]),
]  # fmt: skip


def named(cases: list[Case]) -> Any:
    return pytest.mark.parametrize(
        ("x", "options", "expected"), [c[1:] for c in cases], ids=[c[0] for c in cases]
    )


@named(BOXES)
def test_conv2d(x: np.ndarray, options: dict[str, Any], expected: list[list[float]]) -> None:
    out = manual.conv2d(x, np.ones((1, 1, 3, 3)), np.zeros(1), **options)
    assert np.array_equal(out[0, 0], expected)


@named(SPREAD)
def test_conv_transpose2d(
    x: np.ndarray, options: dict[str, Any], expected: list[list[float]]
) -> None:
    out = manual.conv_transpose2d(x, np.ones((1, 2, 3, 3)), np.zeros(2), **options)
    assert np.array_equal(out[0], [expected, expected])


@named(GREATEST)
def test_max_pool2d(x: np.ndarray, options: dict[str, Any], expected: list[list[float]]) -> None:
    assert np.array_equal(manual.max_pool2d(x, **options)[0, 0], expected)


@named(MEANS)
def test_avg_pool2d(x: np.ndarray, options: dict[str, Any], expected: list[list[float]]) -> None:
    np.testing.assert_allclose(manual.avg_pool2d(x, **options)[0, 0], expected, rtol=1e-15)


def test_batch_norm() -> None:
    """batchnorm_example, in training and evaluation. Torch's running variance is the unbiased one,
    which is 1 here; ONNX's is not."""
    x = np.array([[[[-1.0, 0, 1]], [[2.0, 3, 4]]]])
    mean, var = np.array([0.0, 3]), np.array([1, 1.5])
    weight, bias = np.array([1, 1.5]), np.array([0.0, 1])
    at = (x, mean, var, weight, bias)
    first, second = 1 / np.sqrt(1.00001), 1.5 / np.sqrt(1.50001)
    out, *state = manual.batch_norm(*at, training=False)
    expected = [[[[-first, 0, first]], [[1 - second, 1, 1 + second]]]]
    np.testing.assert_allclose(out, expected, rtol=1e-15)
    assert np.array_equal(state, [mean, var])
    out, *state = manual.batch_norm(*at, training=True)
    one = 1 / np.sqrt(2 / 3 + 1e-5)
    expected = [[[[-one, 0, one]], [[1 - 1.5 * one, 1, 1 + 1.5 * one]]]]
    np.testing.assert_allclose(out, expected, rtol=1e-15)
    np.testing.assert_allclose(state, [[0, 3], [1, 1.45]], rtol=1e-15)
