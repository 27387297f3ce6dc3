"""Transposed convolution: conv2d's way back as a layer of its own, which makes images larger. Each
number of the input lays its multiple of the kernel on the output; where these overlap they add up.

Source: Zeiler et al. 2010; Dumoulin and Visin 2016; torch.nn.ConvTranspose2d.
"""

import numpy as np

from torch_parity.manual.correlation import correlated, kernel_gradient, spread
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_channels, require_shape
from torch_parity.manual.windows import Pair, padded, pair, without_padding


@operation
def conv_transpose2d(
    input: np.ndarray,  # noqa: A002  (torch's name)
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> np.ndarray:
    """out[m, o, Y, X] = bias[o] + sum of all weight[c, o, i, j] * input[m, c, y, x] with
    Y = y * stride + i * dilation - padding and X likewise

    # [m, c, h, w], [c, o / groups, kh, kw], [o] -> [m, o, H, W]
    # H = (h - 1) stride - 2 padding + (kh - 1) dilation + 1 + output_padding

    This is the gradient that conv2d with the same weight and options hands to its input. Several H
    have the same h after a stride; output_padding, which is below the stride or the dilation,
    chooses one.

    Raises:
        ValueError: the channels do not fit groups and weight, bias is not [o], output_padding is
            too large, or nothing is left without the padding.
    """
    require_channels("conv_transpose2d", input, weight, groups, len(weight))
    require_shape("conv_transpose2d", "bias", bias, (weight.shape[1] * groups,))
    size = _size(input, weight, pair(stride), pair(output_padding), pair(dilation))
    if min(n - 2 * p for n, p in zip(size, pair(padding), strict=True)) < 1:
        raise ValueError(f"conv_transpose2d: nothing of {size} is left without {padding=}")
    out = spread(input, weight, size, stride, dilation, groups)
    return without_padding(out, padding) + bias.reshape(-1, 1, 1)


def conv_transpose2d_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    weight: np.ndarray,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dinput = conv2d(dout, weight);  dbias[o] = sum of dout[:, o]

    dweight[c, o, i, j] = sum of input[:, c] * what (i, j) sees of dout[:, o]
    """
    seen = padded(dout, padding)
    (h, w), (kh, kw) = input.shape[2:], weight.shape[2:]
    dinput = correlated(seen, weight, stride, dilation, groups)[:, :, :h, :w].copy()
    dweight = kernel_gradient(input, seen, (kh, kw), stride, dilation, groups)
    return dinput, dweight, dout.sum(axis=(0, 2, 3))


def _size(
    x: np.ndarray,
    weight: np.ndarray,
    stride: tuple[int, int],
    output_padding: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    """The output's height and width, padding included."""
    for s, d, extra in zip(stride, dilation, output_padding, strict=True):
        if not 0 <= extra < max(s, d):
            raise ValueError(
                f"conv_transpose2d: output_padding is {output_padding}, expected less than the "
                f"stride {stride} or the dilation {dilation}"
            )
    height, width = (
        (x.shape[2 + i] - 1) * stride[i] + (weight.shape[2 + i] - 1) * dilation[i] + 1
        + output_padding[i]
        for i in (0, 1)
    )  # fmt: skip
    return height, width
