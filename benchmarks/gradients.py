"""Random networks with the gradients of both sides, also with an error in one entry.

The tests and the benchmark of gradient checks use it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.autograd.gradcheck import GradcheckError

from tests.drawn import case_and_data
from torch_parity import manual
from torch_parity.compare.gradients.gradcheck import Moment
from torch_parity.compare.gradients.torch_cost import torch_cost
from torch_parity.compare.sources import pair
from torch_parity.manual.gradients.exact_check import hold
from torch_parity.manual.models.step import Tensors
from torch_parity.torch_ref.gradients.gradient_check import gradient_check


@dataclass(frozen=True)
class Drawn(Moment):
    """The first step of a random pair."""

    pair: pair.Pair

    @property
    def net(self) -> manual.MLP:
        """By hand."""
        return self.pair.manual.net

    def exact(self) -> manual.ExactGradient:
        """From the forward pass only."""
        return manual.exact_gradient(self.net, self.params, self.x, self.y, self.masks)

    @cached_property
    def _exact(self) -> manual.ExactGradient:
        return self.exact()

    def check(self, gradients: Tensors) -> manual.ExactCheck:
        """Compare these gradients with it."""
        return hold(self._exact, self.net, self.params, self.x, self.y, self.masks, gradients)


def draw(seed: int, **fixed: Any) -> Drawn:
    """A network of up to 5 layers, its data and the gradients of its first step."""
    case, data = case_and_data(seed, depth=4, width=16, **fixed)
    built = pair.build(case, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        by_torch, masks = built.torch.step(data.x_train, built.targets.y_train)
    x, y = data.x_train, built.targets.y_train
    by_hand = built.manual.step(built.params, built.state, x, y, masks)
    return Drawn(0, built.params, x, y, masks, by_hand, by_torch, built)


def with_error(d: Drawn, seed: int, size: float) -> tuple[Tensors, str, tuple[int, ...]] | None:
    """The hand-written gradients with one entry off by a share of itself, and its place.

    As benchmarks/false_alarms.py: an entry that is not negligible in its tensor. None where every
    gradient is 0: all units are dead.
    """
    rng = np.random.default_rng([seed, 1])
    names = [n for n in d.params if d.manual["d" + n].any()]
    if not names:
        return None
    name = names[rng.integers(len(names))]
    wrong = d.manual["d" + name].copy()
    index = tuple(int(i) for i in rng.choice(np.argwhere(np.abs(wrong) >= 1e-3 * abs(wrong).max())))
    wrong[index] *= 1 + size
    return d.manual | {"d" + name: wrong}, name, index


class _WithError(torch.autograd.Function):
    """p, whose backward is wrong in one entry by a share of itself."""

    @staticmethod
    def forward(ctx: Any, p: torch.Tensor, index: tuple[int, ...], size: float) -> torch.Tensor:
        ctx.index, ctx.size = index, size
        return p.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # type: ignore[override]
        grad = grad.clone()
        grad[ctx.index] *= 1 + ctx.size
        return grad, None, None


def torch_misses(d: Drawn, name: str, index: tuple[int, ...], size: float) -> bool:
    """Whether torch.autograd.gradcheck, at its defaults, passes the same error in torch."""
    params = {n: torch.tensor(p, requires_grad=True) for n, p in d.params.items()}
    at = torch_cost(d.pair.torch, d.x, d.y, d.masks)

    def cost() -> torch.Tensor:
        wrong = params | {name: _WithError.apply(params[name], index, size)}
        return at(wrong)

    try:
        return gradient_check(cost, params.values())
    except GradcheckError:
        return False
