"""Rows of the linear layers and of dropout."""

from torch_parity import manual
from torch_parity.compare.register.row import Operation
from torch_parity.compare.register.samples import normal
from torch_parity.compare.register.twins import (
    dropout_twin,
    linear_no_bias_twin,
    linear_twin,
    units_and_mask,
)

ROWS = (
    Operation(
        manual.linear, "layer", normal(x=(6, 5), W=(3, 5), b=(3,)), ("x", "W", "b"), ("z",),
        module="Linear", torch=linear_twin,
    ),
    Operation(
        manual.linear_no_bias, "layer", normal(x=(6, 5), W=(3, 5)), ("x", "W"), ("z",),
        torch=linear_no_bias_twin,
    ),
    Operation(
        manual.dropout, "dropout", units_and_mask, ("a",), ("h",),
        module="Dropout", torch=dropout_twin,
    ),
)  # fmt: skip
