"""The pair: one case, built on both sides from the same data, parameters and masks."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from torch_parity import manual
from torch_parity.compare.bounds.precision import all_widened, widened
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data, Targets, targets
from torch_parity.compare.devices import found
from torch_parity.compare.errors import InputError
from torch_parity.compare.tensors import to_numpy, to_torch
from torch_parity.manual.models.mlp import Optimizer, Tensors
from torch_parity.torch_ref import trace
from torch_parity.torch_ref.losses.regularization import Penalty, parameter_groups
from torch_parity.torch_ref.models import mlp as network

CPU = torch.device("cpu")
INITIALIZERS: dict[str, Callable[..., np.ndarray]] = {
    "kaiming_normal": manual.kaiming_normal,
    "xavier_normal": manual.xavier_normal,
    "xavier_course": manual.xavier_course,
    "normal": manual.normal,
    "zeros": manual.zeros,
}


@dataclass(frozen=True)
class ManualSide:
    """What to compute by hand; the numbers travel as arguments. Halves are computed with in
    float32."""

    net: manual.Network
    optimizer: Optimizer

    def step(
        self, params: Tensors, state: Tensors, x: np.ndarray, y: np.ndarray, masks: Tensors
    ) -> Tensors:
        """manual.step on this side's network and optimizer."""
        given = (all_widened(params), all_widened(state), widened(x), widened(y))
        return manual.step(self.net, self.optimizer, *given, all_widened(masks))

    def outputs(self, params: Tensors, x: np.ndarray) -> Tensors:
        """z1, a1... to the output, dropout off."""
        return manual.forward(self.net, all_widened(params), widened(x), {})

    def evaluate(self, params: Tensors, x: np.ndarray, y: np.ndarray) -> tuple[float, Tensors]:
        """(loss without penalty, z1, a1... to the output), dropout off."""
        outputs = self.outputs(params, x)
        output = outputs[f"a{self.net.depth}"]
        t = manual.cost(self.net, all_widened(params), output, widened(y))
        return float(t["loss"]), outputs


@dataclass(frozen=True)
class TorchSide:
    """The module, its loss and its optimizer; the numbers live inside them."""

    net: network.Network
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    slots: network.Slots
    penalty: Penalty
    device: torch.device = CPU

    def step(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensors, Tensors]:
        """torch_ref's step -> (trace, masks), as arrays in memory of their own."""
        tensors, masks = network.step(
            self.net,
            self.criterion,
            self.optimizer,
            self.slots,
            self.penalty,
            to_torch(x, self.device),
            to_torch(y, self.device),
        )
        return _arrays(tensors), _arrays(masks)

    def params(self) -> Tensors:
        """A copy of W1, b1, W2, b2..."""
        return {n: to_numpy(p).copy() for n, p in self.net.named_tensors().items()}

    def state(self) -> Tensors:
        """A copy of what the optimizer remembers: vW1, vb1...; nothing before its first step."""
        return _arrays(trace.state(self.optimizer, self.slots, self.net.named_tensors()))

    def memory(self) -> Tensors:
        """Copies of what torch's optimizer keeps, under torch's names: 0/momentum_buffer is that of
        the first parameter. (A trace has the course's names for it, and with them its scale.)"""
        kept = self.optimizer.state_dict()["state"]
        return {
            f"{i}/{name}": to_numpy(value).copy()
            for i, slots in kept.items()
            for name, value in slots.items()
        }

    def restore(self, params: Tensors, memory: Tensors) -> None:
        """Put both back to what they were, bit for bit."""
        with torch.no_grad():
            for name, p in self.net.named_tensors().items():
                p.copy_(to_torch(params[name]))
        kept: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in memory.items():
            i, name = key.split("/")
            kept.setdefault(int(i), {})[name] = to_torch(value)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": kept})

    def outputs(self, x: np.ndarray) -> Tensors:
        """z1, a1... to the output, dropout off; to look at, so halves are widened."""
        return all_widened(_arrays(self._outputs(x)))

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> tuple[float, Tensors]:
        """(loss without penalty, z1, a1... to the output), dropout off."""
        outputs = self._outputs(x)
        output, shown = outputs[f"a{self.net.depth}"], all_widened(_arrays(outputs))
        if not output.isfinite().all():  # torch's losses refuse what a diverged run delivers
            return float("nan"), shown
        return float(self.criterion(output, to_torch(y, self.device))), shown

    def _outputs(self, x: np.ndarray) -> dict[str, torch.Tensor]:
        self.net.eval()
        outputs, at = {}, to_torch(x, self.device)
        with torch.no_grad():
            for name, module in self.net.named_children():
                outputs[name] = at = module(at)
        return outputs


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
        InputError: the loss, the output and the labels do not fit together, the numbers do not fit
            the precision, or the device is not there.
    """
    device = found(case.device)
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
    in_torch = _torch_side(case, device, sizes, t, len(data.x_train), params, constants)
    return Pair(by_hand, in_torch, t, params, manual.initial_state(by_hand.optimizer, params))


def _parameters(case: Case, sizes: tuple[int, ...]) -> Tensors:
    rng = np.random.default_rng([case.seed, 1])
    options = {"scale": case.scale} if case.initializer == "normal" else {}
    params: Tensors = {}
    for layer, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        W = INITIALIZERS[case.initializer](rng, (n_out, n_in), **options)
        b = rng.standard_normal(n_out) * case.bias_scale
        with np.errstate(over="ignore"):
            drawn = {f"W{layer}": W.astype(case.dtype), f"b{layer}": b.astype(case.dtype)}
        if not all(np.isfinite(p).all() for p in drawn.values()):
            raise InputError(
                f"layer {layer} is drawn with numbers too large for {case.dtype}; use a smaller "
                "--scale or --bias-scale"
            )
        params |= drawn
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
    device: torch.device,
    sizes: tuple[int, ...],
    t: Targets,
    m: int,
    params: Tensors,
    constants: dict[str, float],
) -> TorchSide:
    net = network.Network(sizes, case.activation, t.output, case.negative_slope, case.p)
    net.to(device, getattr(torch, case.dtype))
    with torch.no_grad():
        for name, p in net.named_tensors().items():
            p.copy_(to_torch(params[name]))
    penalty = Penalty(case.l1, case.l2, m, case.l2_route)
    make, slots = network.OPTIMIZERS[case.optimizer]
    optimizer = make(parameter_groups(net, penalty.weight_decay), **constants)
    return TorchSide(net, network.LOSSES[t.loss](case.reduction), optimizer, slots, penalty, device)


def _arrays(tensors: dict[str, torch.Tensor]) -> Tensors:
    return {name: to_numpy(t) for name, t in tensors.items()}
