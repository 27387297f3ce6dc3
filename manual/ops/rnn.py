"""A simple recurrent network over a whole sequence, and its backward through time.

Source: course 5 week 1, "backpropagation through time"; torch.nn.RNN(batch_first=True).
"""

import numpy as np

from torch_parity.manual.ops.rnn_cell import Six
from torch_parity.manual.recording import operation
from torch_parity.manual.recurrence import (
    at_all_steps,
    parameter_gradients,
    require_cell,
    require_steps,
    states_before,
)


@operation
def rnn(
    input: np.ndarray,  # noqa: A002  (torch's name)
    h_0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """h[t] = rnn_cell(input[t], h[t - 1], ...);  output holds every h, and h_n is the last

    # [m, t, n_in], [m, n], [n, n_in], [n, n], [n], [n] -> [m, t, n], [m, n]

    Raises:
        ValueError: a tensor does not have its shape, or there is no step.
    """
    require_steps("rnn", input)
    require_cell("rnn", input, (weight_ih, weight_hh, bias_ih, bias_hh), 1, h_0=h_0)
    z_ih = at_all_steps(input, weight_ih, bias_ih)
    to_state = weight_hh.T.copy()  # as in at_all_steps
    h, output = h_0, []
    for t in range(input.shape[1]):
        h = np.tanh(z_ih[:, t] + (h @ to_state + bias_hh))
        output.append(h)
    return np.stack(output, axis=1), h


def rnn_backward(
    doutput: np.ndarray,
    dh_n: np.ndarray,
    input: np.ndarray,  # noqa: A002
    h_0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    output: np.ndarray,
) -> Six:
    """From the last step to the first: dh = doutput[t] + dz[t + 1] @ weight_hh

    dz[t] = dh (1 - h[t]^2)

    A state is read twice, as an output and by the next step, so its gradient is a sum.
    """
    slope = 1 - output * output
    dh, dz = dh_n, []
    for t in reversed(range(input.shape[1])):
        dz.append((doutput[:, t] + dh) * slope[:, t])
        dh = dz[-1] @ weight_hh
    dzs = np.stack(dz[::-1], axis=1)
    before = states_before(h_0, output)
    found = parameter_gradients(dzs, dzs, input, before, weight_ih)
    return found[0], dh, *found[1:]
