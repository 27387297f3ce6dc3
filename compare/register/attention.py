"""Rows of attention and of positions."""

from collections.abc import Callable, Mapping
from typing import Any

from torch_parity import manual
from torch_parity.compare.bounds import attention_kernels
from torch_parity.compare.register.row import Operation, Part
from torch_parity.compare.register.samples import (
    heads_and_mask,
    normal,
    projections_and_padding,
)

ATTENDED = ("query", "key", "value")
PROJECTIONS = ("in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias")
SCORED = ("query_weight", "key_weight", "score_weight")


def _in_kernels(name: str) -> Mapping[Part, Callable[..., Any]]:
    """The second formulas of an attention."""
    return {
        "forward": getattr(attention_kernels, name),
        "backward": getattr(attention_kernels, f"{name}_backward"),
    }


ROWS = (
    Operation(
        manual.scaled_dot_product_attention, "product", heads_and_mask, ATTENDED, ("out",),
        tuple(
            {"is_causal": causal, "scale": scale}
            for causal, scale in ((False, None), (True, None), (False, 0.3))
        ),
        also=_in_kernels("scaled_dot_product_attention"),
    ),
    Operation(
        manual.multi_head_attention, "layer", projections_and_padding, (*ATTENDED, *PROJECTIONS),
        ("out",), ({"num_heads": 4, "is_causal": False}, {"num_heads": 2, "is_causal": True}),
        also=_in_kernels("multi_head_attention"),
    ),
    Operation(
        manual.additive_attention, "layer",
        normal(
            0.5, query=(1, 3, 4), key=(1, 4, 3), value=(1, 4, 5), query_weight=(3, 4),
            key_weight=(3, 3), score_weight=(3,),
        ),
        (*ATTENDED, *SCORED), ("out",),
    ),
    Operation(
        manual.sinusoidal_positions, "arithmetic", normal(input=(2, 5, 6)), ("input",), ("out",),
        ({"base": 10000.0}, {"base": 50.0}),
    ),
    Operation(
        manual.rotary_positions, "arithmetic", normal(input=(2, 3, 5, 8)), ("input",), ("out",),
        tuple(
            {"interleaved": interleaved, "base": base}
            for interleaved in (False, True) for base in (10000.0, 50.0)
        ),
    ),
)  # fmt: skip
