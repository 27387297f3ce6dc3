"""What all recurrent networks share: the shapes of a cell's tensors, the states before each step,
and the gradients of the two linear maps, of the input and of the state.

Sequences are [m, t, n]: samples, steps, numbers (torch's batch_first=True).
"""

import numpy as np

from torch_parity.manual.shapes import require_shape

Parameters = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Gradients = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def require_cell(
    function: str,
    input: np.ndarray,  # noqa: A002  (torch's name)
    parameters: Parameters,
    gates: int,
    **states: np.ndarray,
) -> None:
    """Raise ValueError unless the parameters are those of so many gates, and the states fit.

    # input [m, ..., n_in], states [m, n], parameters [gates n, n_in], [gates n, n], twice [gates n]
    """
    weight_ih, weight_hh, bias_ih, bias_hh = parameters
    n = weight_hh.shape[-1]
    require_shape(function, "weight_hh", weight_hh, (gates * n, n))
    require_shape(function, "weight_ih", weight_ih, (gates * n, input.shape[-1]))
    require_shape(function, "bias_ih", bias_ih, (gates * n,))
    require_shape(function, "bias_hh", bias_hh, (gates * n,))
    for name, state in states.items():
        require_shape(function, name, state, (input.shape[0], n))


def require_steps(function: str, input: np.ndarray) -> None:  # noqa: A002
    """Raise ValueError unless input is a sequence of at least one step."""
    if input.ndim != 3 or input.shape[1] < 1:
        raise ValueError(
            f"{function}: input has shape {input.shape}, expected (m, t, n_in) with t of 1 or more"
        )


def at_all_steps(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x @ weight.T + bias of every step       # [m, t, in], [out, in], [out] -> [m, t, out]

    These are many small products, which take up to five times as long with a transposed view.
    """
    return x @ weight.T.copy() + bias


def states_before(h_0: np.ndarray, output: np.ndarray) -> np.ndarray:
    """The state that each step starts from.                    # [m, n], [m, t, n] -> [m, t, n]"""
    return np.concatenate([h_0[:, None], output[:, :-1]], axis=1)


def parameter_gradients(
    dz_ih: np.ndarray,
    dz_hh: np.ndarray,
    input: np.ndarray,  # noqa: A002
    h: np.ndarray,
    weight_ih: np.ndarray,
) -> Gradients:
    """dinput, dweight_ih, dweight_hh, dbias_ih, dbias_hh of z_ih = input @ weight_ih.T + bias_ih
    and z_hh = h @ weight_hh.T + bias_hh.

    The parameters are the same at every step, so their gradients are sums over samples and steps.
    """
    x, before, d_ih, d_hh = (a.reshape(-1, a.shape[-1]) for a in (input, h, dz_ih, dz_hh))
    dinput = (d_ih @ weight_ih).reshape(input.shape)
    return dinput, d_ih.T @ x, d_hh.T @ before, d_ih.sum(axis=0), d_hh.sum(axis=0)
