"""The catalogue of causes: every known mistake, by name."""

from torch_parity.compare.causes import (
    activation,
    activation_options,
    adam,
    data,
    distributed,
    dropout,
    gradients,
    linear,
    loss,
    optimizer,
    penalty,
    precision,
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
        loss,
        penalty,
        optimizer,
        adam,
        distributed,
        sums,
    )
    for cause in module.CAUSES
}
