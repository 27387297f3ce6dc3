"""Rows of the operations on sequences: embedding, recurrent networks, gradient clipping."""

from collections.abc import Callable, Mapping
from typing import Any

from torch_parity import manual
from torch_parity.compare.bounds import recurrences
from torch_parity.compare.register.row import Operation, Part
from torch_parity.compare.register.samples import gradient_and_norm, normal, symbols_and_table

M, T, N_IN, N = 2, 3, 5, 4


def _again(name: str) -> Mapping[Part, Callable[..., Any]]:
    return {
        "forward": getattr(recurrences, name),
        "backward": getattr(recurrences, f"{name}_backward"),
    }


def _recurrent(
    forward: Callable[..., Any],
    module: str,
    gates: int,
    *outputs: str,
    through_time: bool = False,
) -> Operation:
    """A cell, or what runs one through time."""
    states = outputs[1:] if through_time else outputs
    names = ("h_0", "c_0") if through_time else ("h", "c")
    shapes: Mapping[str, tuple[int, ...]] = {
        "input": (M, T, N_IN) if through_time else (M, N_IN),
        **dict.fromkeys(names[: len(states)], (M, N)),
        "weight_ih": (gates * N, N_IN), "weight_hh": (gates * N, N),
        "bias_ih": (gates * N,), "bias_hh": (gates * N,),
    }  # fmt: skip
    return Operation(
        forward, "layer", normal(scale=0.5, **shapes), tuple(shapes), outputs, module=module,
        again=_again(forward.__name__) if through_time else {},
    )  # fmt: skip


ROWS = (
    Operation(
        manual.embedding, "layer", symbols_and_table, ("weight",), ("out",),
        ({"padding_idx": None}, {"padding_idx": 1}), module="Embedding",
    ),
    _recurrent(manual.rnn_cell, "RNNCell", 1, "h_next"),
    _recurrent(manual.lstm_cell, "LSTMCell", 4, "h_next", "c_next"),
    _recurrent(manual.gru_cell, "GRUCell", 3, "h_next"),
    _recurrent(manual.rnn, "RNN", 1, "output", "h_n", through_time=True),
    _recurrent(manual.lstm, "LSTM", 4, "output", "h_n", "c_n", through_time=True),
    _recurrent(manual.gru, "GRU", 3, "output", "h_n", through_time=True),
    Operation(
        manual.zero_state, "layout", normal(input=(3, 4, 2)), (), ("state",), ({"width": 5},)
    ),
    Operation(
        manual.get_total_norm, "reduction", normal(first=(3, 4), second=(5,), third=(2, 1)),
        ("tensors",), ("total_norm",),
    ),
    Operation(
        manual.clip_grads_with_norm, "arithmetic",
        gradient_and_norm, ("gradient", "total_norm"), ("clipped",),
        ({"max_norm": 1.5}, {"max_norm": 100.0}),
    ),
)  # fmt: skip
