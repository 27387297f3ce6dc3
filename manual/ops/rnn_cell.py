"""One step of a simple recurrent network: the new state is a layer of the input and the old state.

Source: course 5 week 1, "recurrent neural network model"; torch.nn.RNNCell.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.recurrence import parameter_gradients, require_cell

Six = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@operation
def rnn_cell(
    input: np.ndarray,  # noqa: A002  (torch's name)
    h: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> np.ndarray:
    """h_next = tanh(input @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh)

    # [m, n_in], [m, n], [n, n_in], [n, n], [n], [n] -> [m, n]

    The course's Wax and Waa are weight_ih and weight_hh; its ba is the sum of the two biases.

    Raises:
        ValueError: a tensor does not have its shape.
    """
    require_cell("rnn_cell", input, (weight_ih, weight_hh, bias_ih, bias_hh), 1, h=h)
    return np.tanh(input @ weight_ih.T + bias_ih + (h @ weight_hh.T + bias_hh))


def rnn_cell_backward(
    dh_next: np.ndarray,
    input: np.ndarray,  # noqa: A002
    h: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> Six:
    """dz = dh_next (1 - h_next^2);  dinput = dz @ weight_ih;  dh = dz @ weight_hh"""
    h_next = np.tanh(input @ weight_ih.T + bias_ih + (h @ weight_hh.T + bias_hh))
    dz = dh_next * (1 - h_next * h_next)
    dinput, *parameters = parameter_gradients(dz, dz, input, h, weight_ih)
    return dinput, dz @ weight_hh, *parameters
