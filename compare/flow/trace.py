"""What one side of a step recorded, wherever it comes from: a list of arrays by name."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from torch_parity.compare.bounds.precision import is_real
from torch_parity.compare.flow.nodes import Node

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Trace:
    """given is what the step began from (x, y, parameters, masks, optimizer state), made what it
    computed, in order; W1 is in both: as it was given, and as the step left it.

    nodes say which operation should have made what. Without them tensors can be compared, but
    nobody can say who is right. Nodes whose outputs were not recorded are looked through: the next
    recorded tensor stands for them as well (stretch.py).
    """

    given: Tensors
    made: Tensors
    nodes: tuple[Node, ...] = ()


def judged_in(given: Tensors, made: Tensors) -> np.dtype:
    """The precision of the weights, or of whatever comes first."""
    names = (name for name in given if name.startswith("W") or name.endswith("weight"))
    weights = (given[name].dtype for name in names)
    others = (a.dtype for a in (*given.values(), *made.values()) if is_real(a.dtype))
    return next(weights, next(others, np.dtype(np.float64)))
