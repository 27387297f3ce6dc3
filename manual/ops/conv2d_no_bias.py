"""Convolution without a bias, for a layer in front of a norm: the norm subtracts the mean of each
channel, and with it any bias.

Source: Ioffe and Szegedy 2015, section 3.2; torch.nn.Conv2d(bias=False).
"""

import numpy as np

from torch_parity.manual.correlation import correlated, kernel_gradient, spread
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_channels
from torch_parity.manual.windows import Pair, padded, without_padding


@operation
def conv2d_no_bias(
    input: np.ndarray,  # noqa: A002  (torch's name)
    weight: np.ndarray,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """out[m, o, y, x] = sum over c, i, j of weight[o, c, i, j] * what (i, j) sees of c

    # [m, c, h, w], [o, c / groups, kh, kw] -> [m, o, h', w'], as conv2d

    Raises:
        ValueError: the channels do not fit groups and weight, or the kernel is larger than the
            padded image.
    """
    require_channels("conv2d_no_bias", input, weight, groups, weight.shape[1] * groups)
    return correlated(padded(input, padding), weight, stride, dilation, groups)


def conv2d_no_bias_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    weight: np.ndarray,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """dinput, dweight, as conv2d_backward"""
    size = padded(input, padding).shape[2:]
    dinput = without_padding(spread(dout, weight, size, stride, dilation, groups), padding)
    return dinput, conv2d_no_bias_backward_parameters(
        dout, input, weight, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def conv2d_no_bias_backward_parameters(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    weight: np.ndarray,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """dweight alone: the first layer needs no dinput."""
    height, width = weight.shape[2:]
    seen = padded(input, padding)
    return kernel_gradient(dout, seen, (height, width), stride, dilation, groups)
