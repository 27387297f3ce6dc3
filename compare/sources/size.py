"""Refuse a case whose numbers do not fit into memory, before any is drawn."""

from collections.abc import Mapping
from math import prod

import numpy as np

from torch_parity.compare.errors import InputError
from torch_parity.compare.memory import GB, of_this_machine

COPIES = 20
"""Of every parameter: three trained copies with two slots of Adam each, gradients, torch's own."""


def refuse_too_large(shapes: Mapping[str, tuple[int, ...]], samples: int, dtype: str) -> None:
    """shapes are those of the parameters; samples are evaluated at once, on both sides.

    Raises:
        InputError: they need more than this machine's whole memory.
    """
    weights = sum(prod(shape) for shape in shapes.values())
    units = sum(shape[0] for shape in shapes.values())
    needed = (COPIES * weights + 2 * samples * units) * max(np.dtype(dtype).itemsize, 4)
    if needed > (memory := of_this_machine()):
        raise InputError(
            f"{weights:.3g} parameters and {samples:.3g} samples need about "
            f"{needed / GB:,.3g} GB, and this machine has {memory / GB:,.3g} GB: lower "
            "--hidden or --samples"
        )
