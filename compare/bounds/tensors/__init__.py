"""Torch tensors that carry the bound on their rounding: ATen's side of the one table of rules."""

from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.complex_numbers import Complex
from torch_parity.compare.bounds.tensors.replay import replay_call
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

__all__ = ["BoundedTensor", "Complex", "Unbounded", "replay_call"]
