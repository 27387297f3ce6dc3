"""A forward of any hand-written operations, recorded and followed back from a loss by itself."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from torch_parity.manual.gradients.block_gradient import BlockGradient
from torch_parity.manual.gradients.tangents import Uncertain

U = 2.0**-53  # the unit roundoff
X = np.array([[1.0], [-2.0]])

Forward = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def block_of(
    forward: Forward, params: Mapping[str, np.ndarray], y: np.ndarray, loss: str = "l1_loss"
) -> BlockGradient:
    """forward is given the parameters and X, as "x": all of them exact.

    The slope of the absolute error is 1 or -1, however far rounding moves what it reads.
    """
    net = SimpleNamespace(
        loss=loss, result="z", forward=lambda at, x, masks: {"z": forward({**at, "x": x})}
    )
    return BlockGradient(cast(Any, net), params, X, y, {})


def variances(block: BlockGradient) -> list[np.ndarray]:
    """Those of what each call made, in order, in u^2; of the last none where the head takes it."""
    made = [out for call in block.calls for out in call.outputs]
    return [block.variances[id(out)] / U**2 for out in made if id(out) in block.variances]


def arrived(block: BlockGradient, call: int) -> Uncertain:
    """The gradient of what a call made."""
    return block.arriving[id(block.calls[call].outputs[0])]


def same(found: Uncertain, value: object, variance: object, jump: object = 0.0) -> None:
    """The variance is given in u^2."""
    shape = found.value.shape
    for got, expected in (
        (found.value, value),
        (found.variance / U**2, variance),
        (found.jumps, jump),
    ):
        np.testing.assert_allclose(
            np.broadcast_to(got, shape),
            np.broadcast_to(np.asarray(expected, np.float64), shape),
            rtol=1e-12,
        )
