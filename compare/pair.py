"""The pair: one case, built on both sides from the same data, parameters and masks."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import nn

import manual
from compare.case import Case
from compare.data import Data, Targets, targets
from manual.network import Optimizer, Tensors
from torch_ref import network, trace
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

    def outputs(self, params: Tensors, x: np.ndarray) -> Tensors:
        """z1, a1... to the output, dropout off."""
        return manual.forward(self.net, params, x, {})

    def evaluate(self, params: Tensors, x: np.ndarray, y: np.ndarray) -> tuple[float, Tensors]:
        """(loss without penalty, z1, a1... to the output), dropout off."""
        outputs = self.outputs(params, x)
        output = outputs[f"a{self.net.depth}"]
        return float(manual.cost(self.net, params, output, y)["loss"]), outputs


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

    def state(self) -> Tensors:
        """A copy of what the optimizer remembers: vW1, vb1...; nothing before its first step."""
        return _arrays(trace.state(self.optimizer, self.slots, self.net.named_tensors()))

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

    def outputs(self, x: np.ndarray) -> Tensors:
        """z1, a1... to the output, dropout off."""
        self.net.eval()
        outputs, at = {}, torch.tensor(x)
        with torch.no_grad():
            for name, module in self.net.named_children():
                outputs[name] = at = module(at)
        return _arrays(outputs)

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> tuple[float, Tensors]:
        """(loss without penalty, z1, a1... to the output), dropout off."""
        outputs = self.outputs(x)
        output = torch.from_numpy(outputs[f"a{self.net.depth}"])
        if not output.isfinite().all():  # torch's losses refuse what a diverged run delivers
            return float("nan"), outputs
        return float(self.criterion(output, torch.tensor(y))), outputs


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
    constants = asdict(cast(Any, by_hand.optimizer))
    in_torch = _torch_side(case, sizes, t, len(data.x_train), params, constants)
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
    case: Case,
    sizes: tuple[int, ...],
    t: Targets,
    m: int,
    params: Tensors,
    constants: dict[str, float],
) -> TorchSide:
    net = network.Network(sizes, case.activation, t.output, case.negative_slope, case.p)
    net.to(getattr(torch, case.dtype))
    with torch.no_grad():
        for name, p in net.named_tensors().items():
            p.copy_(torch.tensor(params[name]))
    penalty = Penalty(case.l1, case.l2, m, case.l2_route)
    make, slots = network.OPTIMIZERS[case.optimizer]
    optimizer = make(parameter_groups(net, penalty.weight_decay), **constants)
    return TorchSide(net, network.LOSSES[t.loss](case.reduction), optimizer, slots, penalty)


def _arrays(tensors: dict[str, torch.Tensor]) -> Tensors:
    return {name: t.numpy() for name, t in tensors.items()}
