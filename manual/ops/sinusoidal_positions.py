"""Sinusoidal positions: each place in a sequence adds its own pattern of sines and cosines, so that
attention, which sees its keys in no order, can tell them apart.

Source: Vaswani et al. 2017, section 3.5; PositionalEncoding of torch's transformer tutorial.
"""

import numpy as np

from torch_parity.manual.positions import angles
from torch_parity.manual.recording import operation


@operation
def sinusoidal_positions(input: np.ndarray, *, base: float = 10000.0) -> np.ndarray:  # noqa: A002
    """out_t = input_t + (sin, cos, sin, cos...)(t / base^(2i / n))  # [..., t, n] -> [..., t, n]

    Positions count from 0. The sine and the cosine of an angle stand side by side.

    Raises:
        ValueError: n is odd.
    """
    at = angles(input, base)
    pattern = np.stack([np.sin(at), np.cos(at)], axis=-1)
    return input + pattern.reshape(input.shape[-2:])


def sinusoidal_positions_backward(dout: np.ndarray) -> np.ndarray:
    """dinput = dout: what is added depends on no input."""
    return dout.copy()
