"""The pair: one case, built on both sides from the same data, parameters and masks."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

import manual
from compare.case import Case
from compare.data import Data, Targets, targets
from manual.network import Optimizer, Tensors
from torch_ref import adam, momentum, network, sgd
from torch_ref.regularization import Penalty, parameter_groups

INITIALIZERS: dict[str, Callable[..., np.ndarray]] = {
    "kaiming_normal": manual.kaiming_normal,
    "xavier_normal": manual.xavier_normal,
    "xavier_course": manual.xavier_course,
    "normal": manual.normal,
    "zeros": manual.zeros,
}


@dataclass(frozen=True)
class ManualSide:
    """What to compute by hand; the numbers travel as arguments."""

    net: manual.Network
    optimizer: Optimizer

    def step(
        self, params: Tensors, state: Tensors, x: np.ndarray, y: np.ndarray, masks: Tensors
    ) -> Tensors:
        """manual.step on this side's network and optimizer."""
        return manual.step(self.net, self.optimizer, params, state, x, y, masks)

    def evaluate(self, params: Tensors, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """(loss without penalty, output), dropout off."""
        output = manual.forward(self.net, params, x, {})[f"a{self.net.depth}"]
        return float(manual.cost(self.net, params, output, y)["loss"]), output


@dataclass(frozen=True)
class TorchSide:
    """The module, its loss and its optimizer; the numbers live inside them."""

    net: network.Network
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    slots: network.Slots
    penalty: Penalty

    def step(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensors, Tensors]:
        """torch_ref's step -> (trace, masks), as arrays in memory of their own."""
        tensors, masks = network.step(
            self.net,
            self.criterion,
            self.optimizer,
            self.slots,
            self.penalty,
            torch.tensor(x),
            torch.tensor(y),
        )
        return _arrays(tensors), _arrays(masks)

    def params(self) -> Tensors:
        """A copy of W1, b1, W2, b2..."""
        return {n: p.detach().numpy().copy() for n, p in self.net.named_tensors().items()}

    def memory(self) -> Tensors:
        """Copies of what torch's optimizer keeps, under torch's names: 0/momentum_buffer is that of
        the first parameter. (A trace has the course's names for it, and with them its scale.)"""
        kept = self.optimizer.state_dict()["state"]
        return {
            f"{i}/{name}": value.numpy().copy()
            for i, slots in kept.items()
            for name, value in slots.items()
        }

    def restore(self, params: Tensors, memory: Tensors) -> None:
        """Put both back to what they were, bit for bit."""
        with torch.no_grad():
            for name, p in self.net.named_tensors().items():
                p.copy_(torch.tensor(params[name]))
        kept: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in memory.items():
            i, name = key.split("/")
            kept.setdefault(int(i), {})[name] = torch.tensor(value)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": kept})

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """(loss without penalty, output), dropout off."""
        self.net.eval()
        with torch.no_grad():
            output = self.net(torch.tensor(x))
            if not output.isfinite().all():  # torch's losses refuse what a diverged run delivers
                return float("nan"), output.numpy()
            return float(self.criterion(output, torch.tensor(y))), output.numpy()


@dataclass(frozen=True)
class Pair:
    """Both sides of one case, and where both start."""

    manual: ManualSide
    torch: TorchSide
    targets: Targets
    params: Tensors
    state: Tensors


def build(case: Case, data: Data) -> Pair:
    """Draw the parameters once and give each side a copy.

    Raises:
        InputError: the loss, the output and the labels do not fit together.
    """
    t = targets(case, data)
    sizes = (data.x_train.shape[1], *case.hidden, t.n_out)
    params = _parameters(case, sizes)
    by_hand = ManualSide(
        manual.Network(
            sizes=sizes,
            activation=case.activation,
            output=t.output,
            loss=t.loss,
            reduction=case.reduction,
            negative_slope=case.negative_slope,
            l1=case.l1,
            l2=case.l2,
            m=len(data.x_train),
        ),
        _manual_optimizer(case),
    )
    in_torch = _torch_side(case, sizes, t, len(data.x_train), params)
    return Pair(by_hand, in_torch, t, params, manual.initial_state(by_hand.optimizer, params))


def _parameters(case: Case, sizes: tuple[int, ...]) -> Tensors:
    rng = np.random.default_rng([case.seed, 1])
    options = {"scale": case.scale} if case.initializer == "normal" else {}
    params: Tensors = {}
    for layer, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        W = INITIALIZERS[case.initializer](rng, (n_out, n_in), **options)
        params[f"W{layer}"] = W.astype(case.dtype)
        params[f"b{layer}"] = (rng.standard_normal(n_out) * case.bias_scale).astype(case.dtype)
    return params


def _manual_optimizer(case: Case) -> Optimizer:
    optimizers: dict[str, Callable[[], Optimizer]] = {
        "sgd": lambda: manual.SGD(case.lr),
        "momentum": lambda: manual.Momentum(case.lr, case.momentum),
        "momentum_course": lambda: manual.MomentumCourse(case.lr, case.momentum),
        "adam": lambda: manual.Adam(case.lr, case.beta1, case.beta2, case.eps),
    }
    return optimizers[case.optimizer]()


def _torch_side(
    case: Case, sizes: tuple[int, ...], t: Targets, m: int, params: Tensors
) -> TorchSide:
    net = network.Network(sizes, case.activation, t.output, case.negative_slope, case.p)
    net.to(getattr(torch, case.dtype))
    with torch.no_grad():
        for name, p in net.named_tensors().items():
            p.copy_(torch.tensor(params[name]))
    penalty = Penalty(case.l1, case.l2, m, case.l2_route)
    groups = parameter_groups(net, penalty.weight_decay)
    optimizers: dict[str, tuple[Callable[[], Any], network.Slots]] = {
        "sgd": (lambda: sgd.sgd(groups, case.lr), sgd.slots),
        "momentum": (lambda: momentum.momentum(groups, case.lr, case.momentum), momentum.slots),
        "momentum_course": (
            lambda: momentum.momentum_course(groups, case.lr, case.momentum),
            momentum.slots_course,
        ),
        "adam": (
            lambda: adam.adam(groups, case.lr, case.beta1, case.beta2, case.eps),
            adam.slots,
        ),
    }
    make, slots = optimizers[case.optimizer]
    return TorchSide(net, network.LOSSES[t.loss](case.reduction), make(), slots, penalty)


def _arrays(tensors: dict[str, torch.Tensor]) -> Tensors:
    return {name: t.numpy() for name, t in tensors.items()}
