"""Settings in which two optimizers differ, although this step does not show it. A momentum, for
example, has an effect from the second step on."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.pairing import Pairing
from torch_parity.compare.aten.record import Call, Record

# How a step is computed, not what it computes; initial_lr is a schedule's memory.
HOW = {"class", "foreach", "fused", "capturable", "differentiable", "initial_lr"}
# What nothing reads where momentum is 0.
OF_MOMENTUM = {"dampening", "nesterov"}
SHOWN = 4
# What schedulers are made with; what they count, and what they have computed, is not.
KEPT = (int, float, str, Counter, list, tuple)
OF_THE_LOOP = {
    "_step_count",
    "_last_lr",
    "_get_lr_called_within_step",
    "_is_initial",
    "_schedulers",
    "base_lrs",
    "last_epoch",
    "lr_lambdas",
}
# The rounding of a formula in Python, of a few operations.
ROUNDED = 2.0**-48

Settings = Mapping[str, Mapping[str, Any]]


def settings_differ(
    a: Settings,
    b: Settings,
    step_of_b: Record,
    pairs: Mapping[str, Pairing],
    called: tuple[str, str],
) -> Iterator[str]:
    """A sentence for each setting in which two optimizers of one class differ, for weights that
    belong together and that the step trains. a and b are the settings of each parameter."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name, here in b.items():
        if f"{name}.grad" not in step_of_b.results:
            continue
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


def classes_differ(
    a: Settings, b: Settings, own: Sequence[Record], called: tuple[str, str]
) -> Iterator[str]:
    """A sentence if the two optimizers are of different classes and take their first step. Their
    settings cannot be compared, and a momentum shows in the second step only."""
    kept = any(
        n.startswith(f"{p}.")
        for at, r in zip((a, b), own, strict=True)
        for p in at
        for n in r.given
    )
    classes = [" and ".join(sorted({at[p]["class"] for p in at})) for at in (a, b)]
    short = [name.rpartition(".")[2] for name in classes]
    shown = short if short[0] != short[1] else classes
    if a and b and classes[0] != classes[1] and not kept:
        yield (
            f"The optimizer is {shown[0]} in {called[0]} and {shown[1]} in {called[1]}. Their "
            "first step does not show a momentum; train_modules compares the next ones."
        )


def limits_not_reached(pair: Sequence[Record], called: tuple[str, str]) -> Iterator[str]:
    """A sentence if the two limit the length of their gradients to different lengths, or only one
    does, and no gradient of this step is as long."""
    a, b = ([*_limits(record)] for record in pair)
    alike = len(a) == len(b) and all(
        math.isclose(x, y, rel_tol=1e-9) for (x, _), (y, _) in zip(a, b, strict=True)
    )
    for name, found in zip(called, (a, b), strict=True):
        if found and not alike:
            yield (
                f"{name} clips its gradients ({where(found[0][1])}), which are too short in this "
                "step to show it."
            )


def _limits(record: Record) -> Iterator[tuple[float, Call]]:
    """Of each gradient clipping that changes nothing: how often its limit is as long as the
    gradient. The factor is clamped at 1 then."""
    for call in record.of_phase("update"):
        if call.operation not in ("clamp", "clamp_max") or not call.inputs:
            continue
        given, found = call.inputs[0], call.outputs[0]
        if given.unjudged or found.unjudged or math.prod(found.shape) != 1:
            continue
        ratio, factor = float(record.value(given)), float(record.value(found))
        if ratio > 1 and factor == 1:
            yield ratio, call


def schedules_differ(a: Any, b: Any, called: tuple[str, str]) -> Iterator[str]:
    """A sentence for each number in which two schedulers of one class differ: a factor that is
    multiplied with after the last step, for example."""
    if type(a) is not type(b) or a is None:
        return
    plain = {k: v for k, v in b.state_dict().items() if isinstance(v, KEPT)}
    for key, here in plain.items():
        there = a.state_dict().get(key)
        if not (key in OF_THE_LOOP or _same(there, here)):
            yield (
                f"The scheduler's {key} is {there} in {called[0]} and {here} in {called[1]}. These "
                "steps alone do not show it."
            )


def other_schedules(a: Any, b: Any, called: tuple[str, str]) -> Iterator[str]:
    """A sentence if the two schedulers cannot be compared beyond the steps that were judged."""
    kinds = ["no scheduler" if s is None else f"a {type(s).__name__}" for s in (a, b)]
    if kinds[0] != kinds[1]:
        yield (
            f"{called[0]} has {kinds[0]} and {called[1]} {kinds[1]}: only these steps' learning "
            "rates were compared."
        )
    elif a is not None and (
        not isinstance(a, LRScheduler) or {"lr_lambdas", "_schedulers"} & a.state_dict().keys()
    ):
        yield f"Of the schedulers ({kinds[0]} each) only these steps' learning rates were compared."


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name and both values of each setting that differs."""
    unread = HOW | (OF_MOMENTUM if not a.get("momentum") and not b.get("momentum") else set())
    shared = [key for key in a if key in b and key not in unread]
    pairs = ((key, _plain(a[key]), _plain(b[key])) for key in shared)
    return [(key, str(x), str(y)) for key, x, y in pairs if not _same(x, y)]


def _same(x: Any, y: Any) -> bool:
    """Two schedules may compute one learning rate by other formulas."""
    if isinstance(x, tuple) and isinstance(y, tuple):
        return len(x) == len(y) and all(map(_same, x, y))
    floats = isinstance(x, float) and isinstance(y, float)
    return x == y or (floats and math.isclose(x, y, rel_tol=ROUNDED))


def _plain(value: Any) -> Any:
    """A learning rate may be a tensor; betas may be a list."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
