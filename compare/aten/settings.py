"""Settings in which two optimizers differ, although this step does not show it. A momentum, for
example, has an effect from the second step on."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from torch_parity.compare.aten.given_pairs import Pairing

# How a step is computed, not what it computes; initial_lr is a schedule's memory.
HOW = {"class", "foreach", "fused", "capturable", "differentiable", "initial_lr"}
# What nothing reads where momentum is 0.
OF_MOMENTUM = {"dampening", "nesterov"}
SHOWN = 4

Settings = Mapping[str, Mapping[str, Any]]


def settings_differ(
    a: Settings, b: Settings, pairs: Mapping[str, Pairing], called: tuple[str, str]
) -> Iterator[str]:
    """A sentence for each setting in which two optimizers of one class differ, for weights that
    belong together. a and b are the settings of each parameter."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name, here in b.items():
        pairing = pairs.get(name)
        places = () if pairing is None else (pairing, *pairing.rivals)
        theirs = [a[n] for p in places for n in p.names if n in a]
        rivals = [there for there in theirs if there["class"] == here["class"]]
        if not rivals or any(not _changed(there, here) for there in rivals):
            continue
        for key, value, other in _changed(rivals[0], here):
            found[key, value, other].append(name)
    for (key, of_a, of_b), names in found.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield (
            f"The optimizer's {key} is {of_a} in {called[0]} and {of_b} in {called[1]}, for "
            f"{', '.join(names[:SHOWN])}{more}. This step alone does not show it."
        )


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name and both values of each setting that differs."""
    unread = HOW | (OF_MOMENTUM if not a.get("momentum") and not b.get("momentum") else set())
    shared = [key for key in a if key in b and key not in unread]
    pairs = ((key, _plain(a[key]), _plain(b[key])) for key in shared)
    return [(key, str(x), str(y)) for key, x, y in pairs if x != y]


def _plain(value: Any) -> Any:
    """A learning rate may be a tensor; betas may be a list."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
