"""The catalogue of causes: every known mistake, by name."""

from torch_parity.compare.causes import (
    activation,
    data,
    distributed,
    dropout,
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
        activation,
        dropout,
        loss,
        penalty,
        optimizer,
        distributed,
        sums,
    )
    for cause in module.CAUSES
}
