"""An LSTM over a whole sequence, and its backward through time.

Source: course 5 week 1, "LSTM"; torch.nn.LSTM(batch_first=True).
"""

import numpy as np

from torch_parity.manual.ops.lstm_cell import (
    Gates,
    Seven,
    gate_gradients,
    gates,
    next_state,
    slopes,
)
from torch_parity.manual.recording import operation
from torch_parity.manual.recurrence import (
    at_all_steps,
    parameter_gradients,
    require_cell,
    require_steps,
    states_before,
)

Three = tuple[np.ndarray, np.ndarray, np.ndarray]


@operation
def lstm(
    input: np.ndarray,  # noqa: A002  (torch's name)
    h_0: np.ndarray,
    c_0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> Three:
    """h[t], c[t] = lstm_cell(input[t], h[t - 1], c[t - 1], ...);  output holds every h

    # [m, t, n_in], [m, n], [m, n], [4n, n_in], [4n, n], [4n], [4n] -> [m, t, n], [m, n], [m, n]

    Returns output, and the last states h_n and c_n.

    Raises:
        ValueError: a tensor does not have its shape, or there is no step.
    """
    require_steps("lstm", input)
    require_cell(
        "lstm", input, (weight_ih, weight_hh, bias_ih, bias_hh), 4, h_0=h_0, c_0=c_0
    )  # fmt: skip
    z_ih = at_all_steps(input, weight_ih, bias_ih)
    to_gates = weight_hh.T.copy()  # as in at_all_steps
    h, c, output = h_0, c_0, []
    for t in range(input.shape[1]):
        h, c = next_state(z_ih[:, t] + (h @ to_gates + bias_hh), c)
        output.append(h)
    return np.stack(output, axis=1), h, c


def lstm_backward(
    doutput: np.ndarray,
    dh_n: np.ndarray,
    dc_n: np.ndarray,
    input: np.ndarray,  # noqa: A002
    h_0: np.ndarray,
    c_0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
    output: np.ndarray,
) -> Seven:
    """From the last step to the first: dh = doutput[t] + dz[t + 1] @ weight_hh

    dc = dc[t + 1] f[t + 1] + dh o[t] (1 - tanh(c[t])^2);  dz[t] as in lstm_cell_backward

    Both states are read twice, so both gradients are sums.
    """
    before, of, cs = states(input, h_0, c_0, weight_ih, weight_hh, bias_ih, bias_hh, output)
    of_gates, through_tanh = slopes(of, states_before(c_0, cs), cs)
    dh, dc, dz = dh_n, dc_n, []
    for t in reversed(range(input.shape[1])):
        dh = doutput[:, t] + dh
        dc = dc + dh * through_tanh[:, t]
        i, f, g, o = of_gates
        dz.append(gate_gradients(dh, dc, (i[:, t], f[:, t], g[:, t], o[:, t])))
        dh, dc = dz[-1] @ weight_hh, dc * of[1][:, t]
    dzs = np.stack(dz[::-1], axis=1)
    found = parameter_gradients(dzs, dzs, input, before, weight_ih)
    return found[0], dh, dc, *found[1:]


def states(
    input: np.ndarray,  # noqa: A002
    h_0: np.ndarray,
    c_0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
    output: np.ndarray,
) -> tuple[np.ndarray, Gates, np.ndarray]:
    """Of every step: the h before it, its gates, and its c, which alone needs a loop."""
    before = states_before(h_0, output)
    of = gates(at_all_steps(input, weight_ih, bias_ih) + at_all_steps(before, weight_hh, bias_hh))
    i, f, g, _ = of
    new, c, cs = i * g, c_0, []
    for t in range(input.shape[1]):
        c = f[:, t] * c + new[:, t]
        cs.append(c)
    return before, of, np.stack(cs, axis=1)
