"""Rows of the operations on sequences: embedding, recurrent networks, gradient clipping."""

from collections.abc import Callable, Mapping
from typing import Any

from torch_parity import manual
from torch_parity.compare.register.row import Operation
from torch_parity.compare.register.samples import gradient_and_norm, normal, symbols_and_table
from torch_parity.manual.ops import gru, lstm, rnn

M, T, N_IN, N = 2, 3, 3, 4


def _recurrent(
    forward: Callable[..., Any],
    module: str,
    gates: int,
    *outputs: str,
    again: Callable[..., Any] | None = None,
) -> Operation:
    """A cell, or what runs one through time."""
    states = outputs if again is None else outputs[1:]
    names = ("h", "c") if again is None else ("h_0", "c_0")
    shapes: Mapping[str, tuple[int, ...]] = {
        "input": (M, N_IN) if again is None else (M, T, N_IN),
        **dict.fromkeys(names[: len(states)], (M, N)),
        "weight_ih": (gates * N, N_IN), "weight_hh": (gates * N, N),
        "bias_ih": (gates * N,), "bias_hh": (gates * N,),
    }  # fmt: skip
    return Operation(
        forward, "layer", normal(scale=0.5, **shapes), tuple(shapes), outputs, module=module,
        again=again,
    )  # fmt: skip


ROWS = (
    Operation(
        manual.embedding, "layer", symbols_and_table, ("weight",), ("out",),
        ({"padding_idx": None}, {"padding_idx": 1}), module="Embedding",
    ),
    _recurrent(manual.rnn_cell, "RNNCell", 1, "h_next"),
    _recurrent(manual.lstm_cell, "LSTMCell", 4, "h_next", "c_next"),
    _recurrent(manual.gru_cell, "GRUCell", 3, "h_next"),
    _recurrent(manual.rnn, "RNN", 1, "output", "h_n", again=rnn.rnn_again),
    _recurrent(manual.lstm, "LSTM", 4, "output", "h_n", "c_n", again=lstm.lstm_again),
    _recurrent(manual.gru, "GRU", 3, "output", "h_n", again=gru.gru_again),
    Operation(
        manual.get_total_norm, "reduction", normal(first=(3, 4), second=(5,), third=(2, 1)),
        ("tensors",), ("total_norm",),
    ),
    Operation(
        manual.clip_grads_with_norm, "arithmetic",
        gradient_and_norm, ("gradient", "total_norm"), ("clipped",),
        ({"max_norm": 1.5}, {"max_norm": 0.25}),
    ),
)  # fmt: skip
