"""One step of an LSTM: a memory that gates protect, so that gradients survive many steps.

torch stacks the four gates' weights in one matrix, in the order i, f, g, o. The course has one
matrix each, of [state, input] joined: Wi (its update gate), Wf, Wc (torch's g) and Wo; see
manual/course_gates.py.

Source: Hochreiter and Schmidhuber 1997; course 5 week 1, "LSTM"; torch.nn.LSTMCell.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.recurrence import parameter_gradients, require_cell

Gates = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Seven = tuple[
    np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray
]  # fmt: skip


@operation
def lstm_cell(
    input: np.ndarray,  # noqa: A002  (torch's name)
    h: np.ndarray,
    c: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """c_next = f c + i g;  h_next = o tanh(c_next)

    # [m, n_in], [m, n], [m, n], [4n, n_in], [4n, n], [4n], [4n] -> [m, n], [m, n]

    z = input @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh is cut into the four gates:
    i = sigmoid(z_i) lets in, f = sigmoid(z_f) keeps, g = tanh(z_g) is new, o = sigmoid(z_o) shows.

    Raises:
        ValueError: a tensor does not have its shape.
    """
    require_cell("lstm_cell", input, (weight_ih, weight_hh, bias_ih, bias_hh), 4, h=h, c=c)
    return next_state(input @ weight_ih.T + bias_ih + (h @ weight_hh.T + bias_hh), c)


def lstm_cell_backward(
    dh_next: np.ndarray,
    dc_next: np.ndarray,
    input: np.ndarray,  # noqa: A002
    h: np.ndarray,
    c: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> Seven:
    """dc_next += dh_next o (1 - tanh(c_next)^2);  dc = dc_next f

    dz_i = dc_next g i (1 - i)          dz_f = dc_next c f (1 - f)
    dz_g = dc_next i (1 - g^2)          dz_o = dh_next tanh(c_next) o (1 - o)

    c_next is read twice, by the next step and by h_next, so its gradient is a sum.
    """
    i, f, g, o = gates(input @ weight_ih.T + bias_ih + (h @ weight_hh.T + bias_hh))
    of_gates, through_tanh = slopes((i, f, g, o), c, f * c + i * g)
    dc_next = dc_next + dh_next * through_tanh
    dz = gate_gradients(dh_next, dc_next, of_gates)
    dinput, *parameters = parameter_gradients(dz, dz, input, h, weight_ih)
    return dinput, dz @ weight_hh, dc_next * f, *parameters


def gates(z: np.ndarray) -> Gates:
    """i, f, g, o                                              # [..., 4n] -> four times [..., n]"""
    n = z.shape[-1] // 4
    new = slice(2 * n, 3 * n)
    t = 0.5 * z
    t[..., new] = z[..., new]
    np.tanh(t, out=t)  # of all at once: sigmoid(z) = (1 + tanh(z / 2)) / 2
    g = t[..., new].copy()
    t *= 0.5  # in place: new memory costs more than the product
    t += 0.5
    return t[..., :n], t[..., n : 2 * n], g, t[..., 3 * n :]


def next_state(z: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """h_next and c_next                                        # [m, 4n], [m, n] -> twice [m, n]"""
    i, f, g, o = gates(z)
    c_next = f * c + i * g
    return o * np.tanh(c_next), c_next


def slopes(of: Gates, c: np.ndarray, c_next: np.ndarray) -> tuple[Gates, np.ndarray]:
    """What dc_next is multiplied by for dz_i, dz_f and dz_g, and dh_next for dz_o; and what
    dh_next is multiplied by for its share in dc_next."""
    i, f, g, o = of
    t = np.tanh(c_next)
    return (g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), t * o * (1 - o)), o * (1 - t * t)


def gate_gradients(dh_next: np.ndarray, dc_next: np.ndarray, of_gates: Gates) -> np.ndarray:
    """dz                                                       # [m, n], [m, n] -> [m, 4n]"""
    i, f, g, o = of_gates
    return np.concatenate([dc_next * i, dc_next * f, dc_next * g, dh_next * o], axis=-1)
