"""Recurrent networks through time, on bounded numbers, without bounds that grow from step to step.

Forward, each step starts from the state before it as it was recorded, so only the rounding of one
step is allowed for, and most of it is computed for all steps at once.

Backward, the gradients between the steps are recorded nowhere. They are computed in float64, and
one bounded step from each of them says what that step may round away, and what float64 lacks. How
far this reaches the steps before it is seen by sending it there: the recurrence is linear, so it is
run on errors as it is on gradients. Roundings point either way, as they do in a sum (see
BoundedNumbers), so their signs are drawn: each PROBE takes every error at its full bound with a
sign of its own, and WALK times the root mean square of what arrives is allowed for. That chance
exceeds it has the probability 2 exp(-WALK^2 / 2) where the root mean square is the true one
(Hoeffding 1963) and each rounding is as large as its bound, of which it is a tenth in practice.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from torch_parity.manual.ops import gru_cell, lstm_cell
from torch_parity.manual.ops import lstm as by_hand
from torch_parity.manual.recurrence import parameter_gradients, states_before

PROBES = 8
WALK = 8


def rnn(*given: Any) -> tuple[Any, Any]:
    """output and h_n, given all inputs and both outputs of rnn."""
    input, h_0, weight_ih, weight_hh, bias_ih, bias_hh, output, _ = given  # noqa: A001
    z_hh = states_before(h_0, output) @ weight_hh.T + bias_hh
    again = np.tanh(input @ weight_ih.T + bias_ih + z_hh)
    return again, again[:, -1]


def gru(*given: Any) -> tuple[Any, Any]:
    """output and h_n, given all inputs and both outputs of gru."""
    input, h_0, weight_ih, weight_hh, bias_ih, bias_hh, output, _ = given  # noqa: A001
    before = states_before(h_0, output)
    of = gru_cell.gates(input @ weight_ih.T + bias_ih, before @ weight_hh.T + bias_hh)
    again = gru_cell.next_state(of[1], of[2], before)
    return again, again[:, -1]


def lstm(*given: Any) -> tuple[Any, Any, Any]:
    """output, h_n and c_n, given all inputs and all outputs of lstm."""
    *inputs, output, _, _ = given
    _, (_, _, _, o), cs = by_hand.states(*[*inputs, output])
    again = o * np.tanh(cs)
    return again, again[:, -1], cs[:, -1]


def rnn_backward(*given: Any) -> tuple[Any, ...]:
    """As manual.rnn_backward."""
    doutput, dh_n, input, h_0, weight_ih, weight_hh, output = given  # noqa: A001
    slope = 1 - output * output

    def back(dh: Any, slope: Any, W: Any) -> tuple[Any, ...]:
        """dz_ih, dz_hh, and the gradient of the state before."""
        return dh * slope, dh * slope, (dh * slope) @ W

    return _through_time(
        back, (doutput,), (dh_n,), (slope,), input, (h_0, output), weight_ih, weight_hh
    )


def gru_backward(*given: Any) -> tuple[Any, ...]:
    """As manual.gru_backward."""
    doutput, dh_n, input, h_0, weight_ih, weight_hh, bias_ih, bias_hh, output = given  # noqa: A001
    before = states_before(h_0, output)
    of = gru_cell.gates(input @ weight_ih.T + bias_ih, before @ weight_hh.T + bias_hh)
    slopes = (*gru_cell.slopes(of, before), of[1])

    def back(dh: Any, n: Any, z: Any, r: Any, reset: Any, kept: Any, W: Any) -> tuple[Any, ...]:
        da, db = gru_cell.gate_gradients(dh, n, z, r, reset)
        return da, db, dh * kept + db @ W

    return _through_time(
        back, (doutput,), (dh_n,), slopes, input, (h_0, output), weight_ih, weight_hh
    )


def lstm_backward(*given: Any) -> tuple[Any, ...]:
    """As manual.lstm_backward."""
    doutput, dh_n, dc_n, *inputs, output = given
    input, h_0, c_0, weight_ih, weight_hh, *_ = inputs  # noqa: A001
    _, of, cs = by_hand.states(*[*inputs, output])
    of_gates, shown = lstm_cell.slopes(of, states_before(c_0, cs), cs)

    def back(dh: Any, dc: Any, *slopes: Any) -> tuple[Any, ...]:
        i, f, g, o, shown, kept, W = slopes
        dc = dc + dh * shown
        dz = lstm_cell.gate_gradients(dh, dc, (i, f, g, o))
        return dz, dz, dz @ W, dc * kept

    slopes = (*of_gates, shown, of[1])
    arriving = doutput, doutput * 0
    return _through_time(
        back, arriving, (dh_n, dc_n), slopes, input, (h_0, output), weight_ih, weight_hh
    )


def _through_time(
    back: Callable[..., tuple[Any, ...]],
    above: tuple[Any, ...],
    last: tuple[Any, ...],
    slopes: tuple[Any, ...],
    input: Any,  # noqa: A002
    states: tuple[Any, Any],
    weight_ih: Any,
    weight_hh: Any,
) -> tuple[Any, ...]:
    """dinput, the gradients of the first states, and those of the parameters.

    back(*gradients of a step's states, *slopes, weight_hh) -> dz_ih, dz_hh, *gradients of the
    states before the step. above arrives at each step from outside, last at the last step.
    """
    before = states_before(*states)
    plain = tuple(_plain(slope) for slope in slopes)
    W = _plain(weight_hh)

    def carried(sources: list[np.ndarray]) -> list[np.ndarray]:
        """The gradients of every step's states, of what arrives at each step."""
        found = [source.copy() for source in sources]
        for t in reversed(range(1, found[0].shape[-2])):
            at = (d[..., t, :] for d in found)
            for d, handed in zip(found, back(*at, *(s[:, t] for s in plain), W)[2:], strict=True):
                d[..., t - 1, :] += handed
        return found

    def results(made: tuple[Any, ...], *read: Any) -> list[Any]:
        dz_ih, dz_hh, *handed = made
        dinput, *parameters = parameter_gradients(dz_ih, dz_hh, *read)
        return [dinput, *(x[:, 0] for x in handed), *parameters]

    starts = [_plain(a + _later(a * 0, d)) for a, d in zip(above, last, strict=True)]
    given = [input.like(_raised(d, input), np.zeros(d.shape)) for d in carried(starts)]
    made = back(*given, *slopes, weight_hh)
    lost = [
        _signed(_residual(a + _later(handed, d), g), seed)
        for seed, (a, handed, d, g) in enumerate(zip(above, made[2:], last, given, strict=True))
    ]
    probes = zip(*carried(lost), strict=True)
    read = input, before, weight_ih
    of_probes = [results(back(*p, *plain, W), *map(_plain, read)) for p in probes]
    return tuple(
        x.like(x.value, x.error + WALK * np.sqrt(np.mean(np.square(off), axis=0)))
        for x, *off in zip(results(made, *read), *of_probes, strict=True)
    )


def _plain(x: Any) -> np.ndarray:
    return np.asarray(x.value, np.float64)


def _raised(x: np.ndarray, like: Any) -> np.ndarray:
    return x.astype(like.value.dtype)


def _later(x: Any, last: Any) -> Any:
    """What each step is handed by the one after it.            # [m, t, n], [m, n] -> [m, t, n]"""
    return np.concatenate([x[:, 1:], last[:, None]], axis=1)


def _residual(once: Any, given: Any) -> np.ndarray:
    """How far one right step from `given` may be from `given` itself."""
    return np.asarray(once.error + np.abs(once.value - given.value).astype(np.float64))


def _signed(error: np.ndarray, seed: int) -> np.ndarray:
    """The same size with signs that are drawn, for each probe.  # [m, t, n] -> [probes, m, t, n]"""
    return error * np.random.default_rng(seed).choice([-1.0, 1.0], (PROBES, *error.shape))
