"""The catalogue of causes: every known mistake, by name."""

from torch_parity.compare.causes import (
    activation,
    activation_options,
    adam,
    additive,
    attention,
    data,
    distributed,
    dropout,
    elementary,
    gradients,
    images,
    linear,
    loss,
    norms,
    optimizer,
    penalty,
    positions,
    precision,
    recurrent,
    sequences,
    sums,
)
from torch_parity.compare.causes.cause import Cause

CATALOGUE: dict[str, Cause] = {
    cause.name: cause
    for module in (
        data,
        precision,
        linear,
        gradients,
        activation,
        activation_options,
        dropout,
        norms,
        images,
        recurrent,
        sequences,
        attention,
        additive,
        positions,
        elementary,
        loss,
        penalty,
        optimizer,
        adam,
        distributed,
        sums,
    )
    for cause in module.CAUSES
}

# Mistakes of operations that are shown by themselves, not in a model's step.
ALONE: tuple[Cause, ...] = tuple(
    cause
    for module in (
        norms,
        images,
        recurrent,
        sequences,
        attention,
        additive,
        positions,
        elementary,
    )
    for cause in module.CAUSES
)
