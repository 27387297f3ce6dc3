"""Rows of the activations."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch_parity import manual
from torch_parity.compare.bounds import kernels
from torch_parity.compare.register.row import Operation
from torch_parity.compare.register.samples import normal


def _activation(
    forward: Callable[..., Any],
    module: str,
    options: tuple[Mapping[str, Any], ...] = ({},),
) -> Operation:
    return Operation(
        forward, "activation", normal(z=(6, 5)), ("z",), ("a",), options, module=module
    )  # fmt: skip


ALONG = tuple({"dim": dim} for dim in (1, 0, 2, -1, -2))


ROWS = (
    _activation(manual.sigmoid, "Sigmoid"),
    _activation(manual.tanh, "Tanh"),
    _activation(manual.relu, "ReLU"),
    _activation(
        manual.leaky_relu, "LeakyReLU", ({"negative_slope": 0.01}, {"negative_slope": 0.3})
    ),
    replace(
        _activation(manual.gelu, "GELU", ({"approximate": "none"}, {"approximate": "tanh"})),
        also={"forward": kernels.gelu, "backward": kernels.gelu_backward},
    ),
    _activation(manual.silu, "SiLU"),
    _activation(manual.elu, "ELU", ({"alpha": 1.0}, {"alpha": 0.3})),
    _activation(
        manual.softplus, "Softplus",
        ({"beta": 1.0, "threshold": 20.0}, {"beta": 0.4, "threshold": 2.0}),
    ),
    _activation(manual.identity, "Identity"),
    replace(_activation(manual.softmax, "Softmax", ALONG), samples=normal(z=(4, 3, 5))),
    replace(_activation(manual.log_softmax, "LogSoftmax", ALONG), samples=normal(z=(4, 3, 5))),
)  # fmt: skip
