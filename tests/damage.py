"""Damage to what a file says, for the tests that no damaged file crashes."""

from collections.abc import Sequence
from random import Random
from typing import Any


def edit(rng: Random, value: Any, wild: Sequence[Any]) -> None:
    """Walk down to some place, and replace, swap, drop or double what is there."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(value[key], dict | list) and value[key] and rng.random() < 0.9:
            value = value[key]
            continue
        other, how = rng.choice(keys), rng.randrange(4)
        if how == 0:
            value[key], value[other] = value[other], value[key]
        elif how == 1:
            del value[key]
        elif how == 2 and isinstance(value, list):
            value.append(value[key])
        else:
            value[key] = rng.choice(wild)
        return
