"""The affine map: the only place where the units of one layer meet those of the next.

Source: course week 3, "computing a network's output"; torch.nn.Linear.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def linear(x: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """z = x @ W.T + b                    # [m, in], [out, in], [out] -> [m, out]

    Of sequences every step is a row of its own: [m, t, in] -> [m, t, out].

    Raises:
        ValueError: x is not [m, in] (or [m, t, in]), or b is not [out] (a [out, 1] column would
            broadcast).
    """
    require_shape("linear", "x", x, (*(x.shape[:-1] or (0,)), W.shape[1]))
    require_shape("linear", "b", b, (W.shape[0],))
    to_out = W.T if x.ndim == 2 else W.T.copy()  # small products of a view take twice as long
    return x @ to_out + b


def linear_backward(
    dz: np.ndarray, x: np.ndarray, W: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx = dz @ W;  dW = dz.T @ x;  db = sum_m dz      # [m, out] -> [m, in], [out, in], [out]

    There is no 1/m here: it stands once, in the loss, so dz already carries it.
    """
    return dz @ W, *linear_backward_parameters(dz, x)


def linear_backward_parameters(dz: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dW, db alone: the first layer needs no dx, whose product is the most expensive."""
    dz, x = (a.reshape(-1, a.shape[-1]) for a in (dz, x))  # sums over samples and steps
    return dz.T @ x, dz.sum(axis=0)
