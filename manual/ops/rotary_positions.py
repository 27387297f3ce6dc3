"""Rotary positions: pairs of numbers are turned by an angle that grows with the position, so that
the product of a query and a key depends only on how far apart they are.

Models differ in which numbers are a pair. Here it is number i and number i + n/2 (GPT-NeoX, LLaMA);
interleaved=True takes neighbours, 2i and 2i + 1, as the paper does (GPT-J).

Source: Su et al. 2021, "RoFormer", equation 34; ONNX RotaryEmbedding.
"""

import numpy as np

from torch_parity.manual.positions import angles
from torch_parity.manual.recording import operation


@operation
def rotary_positions(
    input: np.ndarray,  # noqa: A002
    *,
    interleaved: bool = False,
    base: float = 10000.0,
) -> np.ndarray:
    """first_i' = first_i cos - second_i sin;  second_i' = first_i sin + second_i cos

    # [..., t, n] -> [..., t, n]; the angle is t / base^(2i / n), and positions count from 0

    Raises:
        ValueError: n is odd.
    """
    at = angles(input, base)
    return _turned(input, np.cos(at), np.sin(at), interleaved)


def rotary_positions_backward(
    dout: np.ndarray, *, interleaved: bool = False, base: float = 10000.0
) -> np.ndarray:
    """dinput is dout turned back, by minus the angle: a rotation's transpose is its inverse."""
    at = angles(dout, base)
    return _turned(dout, np.cos(at), -np.sin(at), interleaved)


def _turned(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, interleaved: bool) -> np.ndarray:
    half = x.shape[-1] // 2
    if interleaved:
        first, second = x[..., 0::2], x[..., 1::2]
    else:
        first, second = x[..., :half], x[..., half:]
    turned = first * cos - second * sin, first * sin + second * cos
    if interleaved:
        return np.stack(turned, axis=-1).reshape(x.shape)
    return np.concatenate(turned, axis=-1)
