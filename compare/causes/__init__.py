"""The catalogue of causes: every known mistake, by name."""

from torch_parity.compare.causes import (
    accumulation,
    activation,
    activation_options,
    adam,
    additive,
    attention,
    clipping,
    data,
    distributed,
    dropout,
    elementary,
    gradients,
    images,
    linear,
    loss,
    loss_options,
    norms,
    optimizer,
    penalty,
    positions,
    precision,
    recurrent,
    schedules,
    sequences,
    sums,
    update_rules,
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
        clipping,
        attention,
        additive,
        positions,
        elementary,
        loss,
        loss_options,
        penalty,
        optimizer,
        adam,
        update_rules,
        schedules,
        distributed,
        accumulation,
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
        clipping,
        attention,
        additive,
        positions,
        elementary,
        loss_options,
    )
    for cause in module.CAUSES
)
