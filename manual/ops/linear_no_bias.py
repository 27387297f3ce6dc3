"""The affine map without its bias: a matrix product.

Source: torch.nn.Linear(bias=False).
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def linear_no_bias(x: np.ndarray, W: np.ndarray) -> np.ndarray:
    """z = x @ W.T                              # [m, in], [out, in] -> [m, out]

    Raises:
        ValueError: x is not [m, in].
    """
    require_shape("linear_no_bias", "x", x, (x.shape[0] if x.ndim else 0, W.shape[1]))
    return x @ W.T


def linear_no_bias_backward(
    dz: np.ndarray, x: np.ndarray, W: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """dx = dz @ W;  dW = dz.T @ x              # [m, out] -> [m, in], [out, in]"""
    return dz @ W, linear_no_bias_backward_parameters(dz, x)


def linear_no_bias_backward_parameters(dz: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dW alone: the first layer needs no dx."""
    return dz.T @ x
