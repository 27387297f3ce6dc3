"""Units that have stopped learning: dead ones, and saturated ones."""

from collections.abc import Iterable, Mapping

import numpy as np

FLAT = 0.05


def inactive_units(
    hidden: Iterable[tuple[str, str]], outputs: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The share of each hidden layer through which hardly any gradient flows, on these samples.

    relu: dead_units, the share of units with a = 0 on every sample, g'(z) = 0.
    sigmoid, tanh: saturated, the share of all a (samples x units) at which g'(z) is at most 5% of
    its steepest: a (1 - a) <= 0.05 / 4 and 1 - a^2 <= 0.05. Other activations have neither.

    hidden are (activation, name of its output) of the hidden layers; outputs holds them [m, n].

    Source: course week 3, "activation functions"; Glorot and Bengio (2010) for saturation.
    """
    shares: dict[str, float] = {}
    for layer, (activation, name) in enumerate(hidden, start=1):
        a = outputs[name]
        if activation == "relu":
            shares[f"dead_units/layer{layer}"] = float(np.mean((a == 0).all(axis=0)))
        elif activation == "sigmoid":
            shares[f"saturated/layer{layer}"] = float(np.mean(a * (1 - a) <= FLAT / 4))
        elif activation == "tanh":
            shares[f"saturated/layer{layer}"] = float(np.mean(1 - a**2 <= FLAT))
    return shares
