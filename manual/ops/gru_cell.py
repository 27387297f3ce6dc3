"""One step of a GRU: one state, which a gate keeps or renews.

The course's update gate is 1 - z, and its reset gate multiplies the state before the linear map;
torch's multiplies what the linear map made of it.

Source: Cho et al. 2014; course 5 week 1, "gated recurrent unit"; torch.nn.GRUCell.
"""

import numpy as np

from torch_parity.manual.ops.rnn_cell import Six
from torch_parity.manual.recording import operation
from torch_parity.manual.recurrence import parameter_gradients, require_cell

Gates = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@operation
def gru_cell(
    input: np.ndarray,  # noqa: A002  (torch's name)
    h: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> np.ndarray:
    """h_next = (1 - z) n + z h

    # [m, n_in], [m, n], [3n, n_in], [3n, n], [3n], [3n] -> [m, n]

    a = input @ weight_ih.T + bias_ih and b = h @ weight_hh.T + bias_hh are each cut into three:
    r = sigmoid(a_r + b_r) resets, z = sigmoid(a_z + b_z) keeps, n = tanh(a_n + r b_n) is new.

    Raises:
        ValueError: a tensor does not have its shape.
    """
    require_cell("gru_cell", input, (weight_ih, weight_hh, bias_ih, bias_hh), 3, h=h)
    _, z, n, _ = gates(input @ weight_ih.T + bias_ih, h @ weight_hh.T + bias_hh)
    return next_state(z, n, h)


def gru_cell_backward(
    dh_next: np.ndarray,
    input: np.ndarray,  # noqa: A002
    h: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> Six:
    """da_n = dh_next (1 - z) (1 - n^2);  db_n = da_n r;  dh = dh_next z + db @ weight_hh

    da_r = db_r = da_n b_n r (1 - r)    da_z = db_z = dh_next (h - n) z (1 - z)
    """
    of = gates(input @ weight_ih.T + bias_ih, h @ weight_hh.T + bias_hh)
    da, db = gate_gradients(dh_next, *slopes(of, h))
    dinput, *parameters = parameter_gradients(da, db, input, h, weight_ih)
    return dinput, dh_next * of[1] + db @ weight_hh, *parameters


def gates(a: np.ndarray, b: np.ndarray) -> Gates:
    """r, z, n, and b_n                                         # twice [..., 3n] -> [..., n]"""
    (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3, axis=-1), np.split(b, 3, axis=-1)
    r, z = (0.5 * np.tanh(0.5 * (a + b)) + 0.5 for a, b in ((a_r, b_r), (a_z, b_z)))
    return r, z, np.tanh(a_n + r * b_n), b_n


def next_state(z: np.ndarray, n: np.ndarray, h: np.ndarray) -> np.ndarray:
    """(1 - z) n + z h, as torch computes it: with one product"""
    return n + z * (h - n)


def slopes(of: Gates, h: np.ndarray) -> Gates:
    """What dh_next is multiplied by for da_n and da_z, and da_n for da_r and db_n."""
    r, z, n, b_n = of
    return (1 - z) * (1 - n * n), (h - n) * z * (1 - z), b_n * r * (1 - r), r


def gate_gradients(
    dh_next: np.ndarray, of_n: np.ndarray, of_z: np.ndarray, of_r: np.ndarray, r: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """da and db, which differ in the third part               # [m, n] -> [m, 3n], [m, 3n]"""
    da_n, da_z = dh_next * of_n, dh_next * of_z
    da_r = da_n * of_r
    return (
        np.concatenate([da_r, da_z, da_n], axis=-1),
        np.concatenate([da_r, da_z, da_n * r], axis=-1),
    )
