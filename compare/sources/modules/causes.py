"""Why two torch modules part, where their layers, weights or optimizers say it themselves.

A setting is named only if it differs and what it sets differs as well.
"""

import re
from collections.abc import Callable, Collection, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from torch_parity.compare.sources.modules.capture import Capture

Called = tuple[str, str]
Optimizers = tuple[torch.optim.Optimizer, torch.optim.Optimizer]

# how an optimizer's step is carried out, not what it computes
MANNERS = {"params", "foreach", "fused", "capturable", "differentiable"}


def explanations(
    a: Capture,
    b: Capture,
    failed: Collection[str],
    called: Called,
    optimizers: Optimizers | None = None,
) -> Iterator[str]:
    """Sentences, most upstream first; failed are the names of the differences that did not pass."""
    yield from _pairing(a, b, called)
    yield from _layouts(a, b, failed, called)
    yield from _modes(a, b, failed, called)
    yield from _settings(a, b, failed, called)
    yield from _stale(a, b, called)
    if optimizers is not None and any(name in failed for name in a.given):
        yield from _optimizers(optimizers, called)


def _pairing(a: Capture, b: Capture, called: Called) -> Iterator[str]:
    """Modules that only one side has, but of the same kinds in the same order."""
    alone = [[n for n in own.modules if n not in other.modules] for own, other in ((a, b), (b, a))]
    kinds = [
        [type(own.modules[n]) for n in names] for own, names in zip((a, b), alone, strict=True)
    ]
    if alone[0] and kinds[0] == kinds[1]:
        pairs = ", ".join(f'"{x}": "{y}"' for x, y in zip(*alone, strict=True))
        yield (
            f"{called[0]} and {called[1]} call modules of the same kinds in the same order: "
            f"names={{{pairs}}} would pair them."
        )


def _layouts(a: Capture, b: Capture, failed: Collection[str], called: Called) -> Iterator[str]:
    for name, of_a in a.given.items():
        of_b = b.given.get(name)
        if f"given {name}" not in failed or of_b is None or of_a.size != of_b.size:
            continue
        first, second = called
        if of_a.ndim == 2 and np.array_equal(of_a.T, of_b):
            how = "transposed"
        elif of_a.ndim == 2 and np.array_equal(of_a.T.ravel(), of_b.ravel()):
            how = "transposed, then reshaped to fit"
        elif of_a.shape != of_b.shape and np.array_equal(of_a.ravel(), of_b.ravel()):
            how = "reshaped"
        else:
            continue
        remedy = "not its .T" if "transposed" in how else "in its own shape"
        yield f"{name} of {second} is that of {first} {how}: copy {first}.{name}, {remedy}."


def _shared(
    a: Capture,
    b: Capture,
    failed: Collection[str],
    differ: Callable[[nn.Module, nn.Module], bool],
) -> list[tuple[str, nn.Module, nn.Module]]:
    """Calls of both sides whose modules differ so, and whose output or mask does."""
    both = ((n, m, b.modules[n]) for n, m in a.modules.items() if n in b.modules)
    return [
        (n, m, other)
        for n, m, other in both
        if differ(m, other) and (n in failed or f"given {n}.mask" in failed)
    ]


def _modes(a: Capture, b: Capture, failed: Collection[str], called: Called) -> Iterator[str]:
    first, second = called
    for side, other, training in ((first, second, True), (second, first, False)):
        names = [
            n
            for n, m, o in _shared(a, b, failed, lambda m, o: m.training != o.training)
            if m.training is training and isinstance(m, _DropoutNd | _NormBase)
        ]
        if names:
            yield (
                f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} in training mode in "
                f"{side}: call {side}.eval() (or {other}.train(), if both are to train)."
            )


def _settings(a: Capture, b: Capture, failed: Collection[str], called: Called) -> Iterator[str]:
    def differ(m: nn.Module, o: nn.Module) -> bool:
        of_torch = all(x.__class__.__module__.startswith("torch.nn") for x in (m, o))
        return of_torch and _spelt(m) != _spelt(o)

    for name, m, other in _shared(a, b, failed, differ):
        yield f"{name} is {_spelt(m)} in {called[0]} and {_spelt(other)} in {called[1]}."


def _spelt(module: nn.Module) -> str:
    """nn.LeakyReLU(negative_slope=0.2); whether it works in place makes no difference."""
    return "nn." + re.sub(r"(, )?inplace=\w+", "", repr(module))


def _stale(a: Capture, b: Capture, called: Called) -> Iterator[str]:
    for side, trace in zip(called, (a, b), strict=True):
        names = [n.removeprefix("previous_") for n in trace.given if n.startswith("previous_")]
        if names:
            yield (
                f"{side} had gradients before the step ({', '.join(names)}), and backward adds to "
                f"them: call {side}.zero_grad() first."
            )


def _optimizers(optimizers: Optimizers, called: Called) -> Iterator[str]:
    kinds = [type(o).__name__ for o in optimizers]
    if kinds[0] != kinds[1]:
        yield f"The optimizer is {kinds[0]} in {called[0]} and {kinds[1]} in {called[1]}."
        return
    groups = zip(*(o.param_groups for o in optimizers), strict=False)
    for i, (first, second) in enumerate(groups):
        where = f" (group {i})" if len(optimizers[0].param_groups) > 1 else ""
        for option in sorted((first.keys() | second.keys()) - MANNERS):
            if first.get(option) != second.get(option):
                yield (
                    f"{kinds[0]}'s {option}{where} is {first.get(option)} in {called[0]} and "
                    f"{second.get(option)} in {called[1]}."
                )
