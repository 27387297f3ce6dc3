"""Whether a bound says anything at all about an output.

A sum that cancels is nothing but rounding, and right: the bias of a layer before batch norm has the
gradient 0, and with other numbers the operation would give far more than its bound. But where the
operation loses all its digits on the way (a norm of inputs around 100,000 in float32), the bound is
above whatever it can give, and any number would pass.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from torch_parity.compare.bounds.precision import is_real, precision
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.stretch import computed

UNDERFLOW = 2.0**20  # times the smallest normal number: what is below is 0 that was rounded
ROUNDING = 64.0  # units of the higher precision's rounding: what is below is 0 by algebra


def covers_everything(
    bound: float, stretch: Sequence[Node], output: str, known: Mapping[str, np.ndarray]
) -> bool:
    """Whether the bound is above all that the operation gives once the first input has other signs.

    What it gives then may be 0 by algebra, as the gradient of a softmax over one class is: that is
    no sign that the bound is too large.
    """
    read = {n: known[n] for node in stretch for n in node.inputs if n in known}
    real = [n for n, a in read.items() if is_real(a.dtype)]
    if not real:
        return False
    kept = precision(read[real[0]].dtype)
    if bound <= UNDERFLOW * kept.tiny:
        return False
    at = {n: a.astype(np.longdouble) if n in real else a for n, a in read.items()}
    at[real[0]] *= np.random.default_rng(0).choice((-1.0, 1.0), read[real[0]].shape)
    made = computed(stretch, at)
    if made is None or not made[output].size:
        return False
    largest = float(np.abs(made[output]).max())
    rounding = ROUNDING * float(np.finfo(np.longdouble).eps) / kept.eps
    return rounding * bound < largest <= bound
