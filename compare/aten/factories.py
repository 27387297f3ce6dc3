"""Calls that make tensors out of no tensor's numbers."""

from torch_parity.compare.aten.draws import UNINITIALISED

# Ranges, whose numbers are computed.
RANGES = {"arange", "linspace"}
CONSTANTS = RANGES | {
    "eye", "full", "full_like", "new_full", "new_ones", "new_zeros", "ones", "ones_like",
    "scalar_tensor", "zeros", "zeros_like",
}  # fmt: skip
# Calls that read nothing but a shape.
SHAPED = CONSTANTS | UNINITIALISED
