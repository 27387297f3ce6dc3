"""Every tensor of a torch step, by name: hooks copy them.

They are copied because an in-place operation or the next update would change them. The models do
not need this file; step.py beside them is a complete training step.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from torch_parity.torch_ref.losses.regularization import Penalty
from torch_parity.torch_ref.ops.dropout import FixedDropout, generator_of, recover_mask
from torch_parity.torch_ref.optimizers.adam import adam
from torch_parity.torch_ref.optimizers.adamw import adamw
from torch_parity.torch_ref.optimizers.momentum import momentum, momentum_course
from torch_parity.torch_ref.optimizers.nesterov import nesterov
from torch_parity.torch_ref.optimizers.rmsprop import rmsprop
from torch_parity.torch_ref.optimizers.sgd import sgd

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Names:
    """What the tensors of a step are called.

    input is that of the network; outputs and inputs hold, by module path, the names of all that a
    module returns and the name of what it is given; masks those of the dropouts' masks. The
    functions name the gradient of a tensor, the loss's share in that of a penalised weight, what an
    optimizer remembers of a parameter, a tensor of one of several micro-batches, and a gradient
    before it is clipped.
    """

    input: str
    outputs: Mapping[str, tuple[str, ...]]
    masks: Mapping[str, str]
    gradient: Callable[[str], str]
    loss_gradient: Callable[[str], str]
    slot: Callable[[str, str], str]
    inputs: Mapping[str, str] = field(default_factory=dict)
    of_micro_batch: Callable[[str, int], str] = "{}_m{}".format
    unclipped: Callable[[str], str] = "{}_unclipped".format


class Recorder(ExitStack):
    """While open, keeps the inputs and outputs of a network's modules, their gradients, and the
    dropout masks, all under the names that are asked for."""

    def __init__(self, net: nn.Module, names: Names) -> None:
        super().__init__()
        self.net, self.names = net, names
        self.tensors: Tensors = {}
        self.masks: Tensors = {}

    def __enter__(self) -> Self:
        self.enter_context(self.net.register_forward_pre_hook(self._input))
        for path, module in self.net.named_modules():
            if path in self.names.inputs:
                enter = partial(self._given, self.names.inputs[path])
                self.enter_context(module.register_forward_pre_hook(enter))
            if path in self.names.masks:
                self._watch_mask(self.names.masks[path], module)
            if path in self.names.outputs:
                leave = partial(self._returned, self.names.outputs[path])
                self.enter_context(module.register_forward_hook(leave))
        return self

    def _input(self, net: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.tensors[self.names.input] = args[0].detach().clone()

    def _given(self, name: str, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._keep(name, args[0])

    def _returned(
        self, names: tuple[str, ...], module: nn.Module, args: tuple[Tensor, ...], out: Any
    ) -> None:
        for name, tensor in zip(names, returned(module, out), strict=True):
            self._keep(name, tensor)

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.tensors[name] = tensor.detach().clone()
        if tensor.requires_grad:
            keep = partial(self._gradient, self.names.gradient(name))
            tensor.register_hook(keep)  # type: ignore[no-untyped-call]

    def _gradient(self, name: str, gradient: Tensor) -> None:
        self.tensors[name] = gradient.detach().clone()

    def _watch_mask(self, name: str, module: nn.Module) -> None:
        """Keep the state of the generator before the draw, to draw the mask again."""
        if isinstance(module, FixedDropout):
            self.masks[name] = module.mask
            return
        before: list[Tensor] = []

        def remember(module: nn.Module, args: Any) -> None:
            before.append(generator_of(args[0].device).get_state())

        def recover(module: nn.Dropout, args: tuple[Tensor, ...], out: Tensor) -> None:
            state = before.pop()
            if module.training:
                self.masks[name] = recover_mask(module.p, state, args[0])

        self.enter_context(module.register_forward_pre_hook(remember))
        self.enter_context(module.register_forward_hook(recover))


def returned(module: nn.Module, out: Any) -> tuple[Tensor, ...]:
    """The tensors that a module returns. A recurrent one returns (output, (h_n, c_n)) or (output,
    h_n), the states with an axis for its layers, of which there is one here."""
    if not isinstance(module, nn.RNNBase):
        return (out,)
    output, states = out
    states = states if isinstance(states, tuple) else (states,)
    return (output, *(state[0] for state in states))


# How each optimizer is made, and what it remembers of a parameter, under the names of the
# hand-written one: read(its state, its group).
Memory = Callable[[dict[str, Any], dict[str, Any]], Tensors]


def _moments(state: dict[str, Any], group: dict[str, Any]) -> Tensors:
    """Adam's memory, and AdamW's."""
    return {"t": state["step"].long(), "v": state["exp_avg"], "s": state["exp_avg_sq"]}


OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], Memory]] = {
    "sgd": (sgd, lambda state, group: {}),
    "momentum": (momentum, lambda state, group: {"v": state["momentum_buffer"]}),
    "momentum_course": (
        momentum_course,
        # torch's buffer is v / (1 - beta): see optimizers/momentum.py
        lambda state, group: {"v": (1 - group["momentum"]) * state["momentum_buffer"]},
    ),
    "nesterov": (nesterov, lambda state, group: {"v": state["momentum_buffer"]}),
    "rmsprop": (rmsprop, lambda state, group: {"s": state["square_avg"]}),
    "adam": (adam, _moments),
    "adamw": (adamw, _moments),
}


def memory(
    optimizer: torch.optim.Optimizer, read: Memory, params: Mapping[str, Tensor], names: Names
) -> Tensors:
    """Copies of the optimizer's memory, by name: vW1, vb1... Empty before its first step."""
    called = {p: name for name, p in params.items()}
    return {
        names.slot(slot, called[p]): value.detach().clone()
        for group in optimizer.param_groups
        for p in group["params"]
        if p in optimizer.state
        for slot, value in read(optimizer.state[p], group).items()
    }


@dataclass(frozen=True)
class Task:
    """What a recorded step works with: the network's parameters by name, its loss, its optimizer
    and how to read that one's memory, the penalty, and the names.

    wrapper is what to call in place of the network, such as DistributedDataParallel(net). buffers
    are the network's running statistics by name. A batch is cut into so many micro_batches, whose
    losses add up by the loss's reduction; gradients are clipped to clip_norm where it is given.
    """

    net: nn.Module
    params: Mapping[str, nn.Parameter]
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    read: Memory
    penalty: Penalty
    names: Names
    wrapper: nn.Module | None = None
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    micro_batches: int = 1
    reduction: str = "mean"
    clip_norm: float | None = None

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """The parameters in the penalty: those with two dimensions or more."""
        return {name: p for name, p in self.params.items() if p.ndim > 1}


def recorded_step(task: Task, x: Tensor, y: Tensor) -> tuple[Tensors, Tensors]:
    """One training step -> (every tensor by name, the dropout masks it drew).

    It is zero_grad, forward and backward of each micro-batch, optimizer step. A forward pass that
    ends in NaN or infinity has no loss; then there is none of the step either, and no update. The
    penalty runs its backward after the loss, which adds up to the backward of their sum and shows
    the two shares apart.
    """
    task.net.train()
    task.optimizer.zero_grad()
    t: Tensors = {}
    masks: Tensors = {}
    count = min(task.micro_batches, len(x))
    losses = []
    for k, (x_k, y_k) in enumerate(zip(x.tensor_split(count), y.tensor_split(count), strict=True)):
        share = 1.0 if task.reduction == "sum" else len(x_k) / len(x)
        made, drawn = _backward_of(task, x_k, y_k, share, alone=count == 1)

        def called(name: str, k: int = k) -> str:
            return name if count == 1 else task.names.of_micro_batch(name, k)

        t |= {called(name): a for name, a in made.items()}
        masks |= {called(name): a for name, a in drawn.items()}
        if "loss" in made:
            losses.append(made.get("loss_share", made["loss"]))
    if len(losses) < count:
        return t, masks
    t["loss"] = torch.stack(losses).sum() if count > 1 else losses[0]
    t |= _gradients(task, t["loss"])
    task.optimizer.step()
    t |= memory(task.optimizer, task.read, task.params, task.names)
    t |= {name: p.detach().clone() for name, p in task.params.items()}
    return t, masks


def _backward_of(
    task: Task, x: Tensor, y: Tensor, share: float, alone: bool
) -> tuple[Tensors, Tensors]:
    """Forward and backward of a micro-batch -> (its tensors, the masks it drew); without a loss,
    where the forward pass is not finite. Its gradients are added to .grad; its own are recorded
    where it is not alone."""
    with Recorder(task.net, task.names) as recorder:
        output = (task.wrapper or task.net)(x)
        if not output.isfinite().all():
            return recorder.tensors, recorder.masks
        loss = task.criterion(output, y)
    t = recorder.tensors
    t |= {name: statistic.clone() for name, statistic in task.buffers.items()}
    t["loss"] = loss.detach().clone()
    if share != 1:
        loss = loss * share
        t["loss_share"] = loss.detach().clone()
    with ExitStack() as hooks:
        for name, p in task.params.items() if not alone else ():
            keep = partial(_keep_gradient, t, task.names.gradient(name))
            hooks.callback(p.register_hook(keep).remove)  # type: ignore[no-untyped-call]
        loss.backward()
    return t, recorder.masks


def _keep_gradient(t: Tensors, name: str, gradient: Tensor) -> None:
    t[name] = gradient.detach().clone()


def _gradients(task: Task, loss: Tensor) -> Tensors:
    """The parameters' gradients from the loss alone, and with the penalty's share."""
    names, penalty, weights = task.names, task.penalty, task.weights
    t: Tensors = {}
    if penalty.l1 or penalty.l2:
        t |= {names.loss_gradient(name): gradient(W).clone() for name, W in weights.items()}
        t["penalty"] = penalty.value(list(weights.values())).detach()
        t["cost"] = loss + t["penalty"]
        in_loss = penalty.in_loss(list(weights.values()))
        if in_loss is not None:
            in_loss.backward()  # type: ignore[no-untyped-call]
    if task.clip_norm is not None:
        t |= _clipped(task, task.clip_norm)
    t |= {names.gradient(n): gradient(p).clone() for n, p in task.params.items()}
    for name, W in weights.items() if penalty.weight_decay else ():  # never shows in .grad
        d = names.gradient(name)
        t[d] = t[d].add(W.detach(), alpha=penalty.weight_decay)
    return t


def _clipped(task: Task, clip_norm: float) -> Tensors:
    """Clip the gradients -> what they were, their norm, and, where weight_decay is added later,
    what it is added to."""
    names, params = task.names, task.params
    late = task.weights if task.penalty.weight_decay else {}
    clipped = {n: (names.loss_gradient if n in late else names.gradient)(n) for n in params}
    t = {names.unclipped(clipped[n]): gradient(p).clone() for n, p in params.items()}
    t["total_norm"] = nn.utils.clip_grad_norm_(params.values(), clip_norm)
    return t | {clipped[n]: gradient(W).clone() for n, W in late.items()}


def gradient(parameter: Tensor) -> Tensor:
    """parameter.grad, which is None until a backward pass has reached the parameter."""
    if parameter.grad is None:
        raise RuntimeError("no gradient yet: call backward first, and check requires_grad")
    return parameter.grad
