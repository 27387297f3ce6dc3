"""A GRU over a whole sequence, and its backward through time.

Source: course 5 week 1, "gated recurrent unit"; torch.nn.GRU(batch_first=True).
"""

import numpy as np

from torch_parity.manual.ops.gru_cell import gate_gradients, gates, next_state, slopes
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
def gru(
    input: np.ndarray,  # noqa: A002  (torch's name)
    h_0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """h[t] = gru_cell(input[t], h[t - 1], ...);  output holds every h, and h_n is the last

    # [m, t, n_in], [m, n], [3n, n_in], [3n, n], [3n], [3n] -> [m, t, n], [m, n]

    Raises:
        ValueError: a tensor does not have its shape, or there is no step.
    """
    require_steps("gru", input)
    require_cell("gru", input, (weight_ih, weight_hh, bias_ih, bias_hh), 3, h_0=h_0)
    a = at_all_steps(input, weight_ih, bias_ih)
    to_gates = weight_hh.T.copy()  # as in at_all_steps
    h, output = h_0, []
    for t in range(input.shape[1]):
        _, z, n, _ = gates(a[:, t], h @ to_gates + bias_hh)
        h = next_state(z, n, h)
        output.append(h)
    return np.stack(output, axis=1), h


def gru_backward(
    doutput: np.ndarray,
    dh_n: np.ndarray,
    input: np.ndarray,  # noqa: A002
    h_0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
    output: np.ndarray,
) -> Six:
    """From the last step to the first: dh = doutput[t] + dh[t + 1] z[t + 1] + db[t + 1] @ weight_hh

    da[t] and db[t] as in gru_cell_backward. A state is read twice, so its gradient is a sum.
    """
    before = states_before(h_0, output)
    of = gates(at_all_steps(input, weight_ih, bias_ih), at_all_steps(before, weight_hh, bias_hh))
    of_gates = slopes(of, before)
    dh, da, db = dh_n, [], []
    for t in reversed(range(input.shape[1])):
        dh = doutput[:, t] + dh
        of_input, of_state = gate_gradients(dh, *(slope[:, t] for slope in of_gates))
        da.append(of_input)
        db.append(of_state)
        dh = dh * of[1][:, t] + of_state @ weight_hh
    das, dbs = np.stack(da[::-1], axis=1), np.stack(db[::-1], axis=1)
    found = parameter_gradients(das, dbs, input, before, weight_ih)
    return found[0], dh, *found[1:]
