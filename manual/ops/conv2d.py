"""Convolution of images: one small kernel looks at every place, so that a feature is found wherever
it is. As in every framework the kernel is not flipped: mathematics calls this a cross-correlation.

Source: course 4 week 1, "convolutions over volume"; LeCun et al. 1989; torch.nn.Conv2d.
"""

import numpy as np

from torch_parity.manual.correlation import correlated, kernel_gradient, spread
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_channels, require_shape
from torch_parity.manual.windows import Pair, padded, without_padding


@operation
def conv2d(
    input: np.ndarray,  # noqa: A002  (torch's name)
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """out[m, o, y, x] = bias[o] + sum over c, i, j of
    weight[o, c, i, j] * input[m, c, y * stride + i * dilation - padding, x * ... + j * ...]

    # [m, c, h, w], [o, c / groups, kh, kw], [o] -> [m, o, h', w']
    # h' = (h + 2 padding - (kh - 1) dilation - 1) // stride + 1

    A group of output channels reads only the group of input channels in the same place. One number
    stands for both directions.

    Raises:
        ValueError: the channels do not fit groups and weight, bias is not [o], or the kernel is
            larger than the padded image.
    """
    require_channels("conv2d", input, weight, groups, weight.shape[1] * groups)
    require_shape("conv2d", "bias", bias, weight.shape[:1])
    out = correlated(padded(input, padding), weight, stride, dilation, groups)
    return out + bias.reshape(-1, 1, 1)


def conv2d_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    weight: np.ndarray,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dbias[o] = sum of dout[:, o];  dweight[o, c, i, j] = sum of dout[:, o] * what (i, j) saw of c

    dinput: each place hands dout * weight back to the window that it saw; where windows overlap,
    what they hand back adds up.
    """
    size = padded(input, padding).shape[2:]
    dinput = without_padding(spread(dout, weight, size, stride, dilation, groups), padding)
    return dinput, *conv2d_backward_parameters(
        dout, input, weight, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def conv2d_backward_parameters(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    weight: np.ndarray,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """dweight, dbias alone: the first layer needs no dinput."""
    height, width = weight.shape[2:]
    seen = padded(input, padding)
    dweight = kernel_gradient(dout, seen, (height, width), stride, dilation, groups)
    return dweight, dout.sum(axis=(0, 2, 3))
