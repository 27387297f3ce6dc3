"""The pair: one case, built on both sides from the same data, parameters and masks."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from torch_parity import manual
from torch_parity.compare import models
from torch_parity.compare.bounds.precision import is_real
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data, Targets, targets
from torch_parity.compare.devices import resolve_device
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.graph import Graph
from torch_parity.compare.flow.law import recorded_forward
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPTIMIZERS
from torch_parity.compare.sources.schedule import Schedule, schedule_of
from torch_parity.compare.sources.sides import ManualSide, TorchSide
from torch_parity.compare.sources.size import refuse_too_large
from torch_parity.compare.sources.torch_names import buffers, names_for, parameters
from torch_parity.compare.tensors import to_torch
from torch_parity.manual import Clipping, Model
from torch_parity.manual.models.step import Tensors, buffers_of
from torch_parity.torch_ref import operations, trace
from torch_parity.torch_ref.losses.regularization import Penalty, parameter_groups

# The m of lambda / (2m) * sum(W^2), for a training set of so many samples.
PENALISED: dict[str, Callable[[int], float]] = {
    "mean": lambda samples: samples,
    "half_sum": lambda samples: 1.0,
    "sum": lambda samples: 0.5,
}
# The field of the case that an optimizer's option is, where it is called otherwise.
CALLED = {"beta": "momentum"}
INITIALIZERS: dict[str, Callable[..., np.ndarray]] = {
    "kaiming_normal": manual.kaiming_normal,
    "xavier_normal": manual.xavier_normal,
    "xavier_course": manual.xavier_course,
    "normal": manual.normal,
    "zeros": manual.zeros,
}


@dataclass(frozen=True)
class Pair:
    """Both sides of one case, and where both start: params holds the parameters and the running
    statistics."""

    manual: ManualSide
    torch: TorchSide
    targets: Targets
    params: Tensors
    state: Tensors

    @property
    def schedule(self) -> Schedule | None:
        """Of the learning rate, where it changes."""
        return self.manual.schedule

    @cached_property
    def first_kernel(self) -> str | None:
        """The name of the first convolution's kernel; None of a model without one."""
        return next(_kernels(self.manual.net), None)

    @cached_property
    def lstm(self) -> Node | None:
        """The first LSTM of the model's forward; None of a model without one."""
        nodes = recorded_forward(self.manual.net, ())
        return next((n for n in nodes if n.operation == "lstm"), None)

    @cached_property
    def hidden_activations(self) -> tuple[tuple[str, str], ...]:
        """(operation, name of its output) of every activation but the output's, in order."""
        net = self.manual.net
        graph = Graph(recorded_forward(net, list(net.shapes_of_masks(1))))
        hidden = (n for n in graph.nodes if graph.activates(n) and not graph.feeds_the_loss(n))
        return tuple((n.operation, n.outputs[0]) for n in hidden)


def build(case: Case, data: Data) -> Pair:
    """Draw the parameters once and give each side a copy.

    Raises:
        InputError: the loss, the output and the labels do not fit together, the numbers do not fit
            the precision, or the device is not there.
    """
    device = resolve_device(case.device)
    t = targets(case, data)
    sizes = (data.x_train.shape[1], *case.hidden, t.n_out)
    m = PENALISED[case.penalty](len(data.x_train))
    of_data = {"sizes": sizes, "sample_shape": data.image or data.x_train.shape[1:], "m": m}
    choices = {**case.model_dump(), **of_data, "loss": t.loss, "output": t.output}
    if case.optimizer == "adamw":  # its decay stands in place of the penalty
        choices |= {"l2": 0.0, "weight_decay": case.l2 / m}
    model = models.find(case.model)
    try:
        net = model.model(choices)
    except ValueError as error:
        raise InputError(f"--model {case.model}: {error}") from None
    refuse_too_large(net.shapes(), len(data.x_train), case.dtype)
    _require_fitting(case, net, data.x_train)
    drawn = _parameters(case, net)
    params = drawn | {name: a.astype(case.dtype) for name, a in buffers_of(net).items()}
    row = OPTIMIZERS[case.update_rule]
    constants = {n: choices[CALLED.get(n, n)] for n in row.option_names}
    optimizer = row.by_hand(**constants)
    by_hand = ManualSide(net, optimizer, schedule_of(case), case.accumulate, _clipping(case, net))
    in_torch = _torch_side(case, device, by_hand, model.module(choices), params, data.x_train[:2])
    state = manual.initial_state(by_hand.optimizer, drawn, net.names)
    return Pair(by_hand, in_torch, t, params, state)


def _clipping(case: Case, net: Model) -> Clipping | None:
    """What --clip-norm says; the optimizer adds its weight_decay after clipping."""
    if case.clip_norm is None:
        return None
    return Clipping(case.clip_norm, case.l2_route == "weight_decay" and net.l2 > 0)


def _require_fitting(case: Case, net: Model, x: np.ndarray) -> None:
    """Rows of numbers for a model that reads numbers, sequences for one that reads those; and no
    convolution in float16 on a CPU, where gradients of kernels went 1.7 times over their bound."""
    example, _ = net.example(np.random.default_rng(0), 1)
    if is_real(example.dtype) != is_real(x.dtype):
        kinds = {True: "rows of numbers", False: "sequences of whole numbers"}
        raise InputError(
            f"--model {case.model} reads {kinds[is_real(example.dtype)]}, but {case.data} holds "
            f"{kinds[is_real(x.dtype)]}"
        )
    if case.accumulate > 1 and not hasattr(net, "share"):
        raise InputError(
            f"--accumulate {case.accumulate}: --model {case.model} cannot be trained in "
            "micro-batches. Batch norm normalizes with the mean of all samples of a batch, so the "
            "gradients of its parts do not add up to that of the whole; leave --accumulate out"
        )
    if case.dtype == "float16" and case.device == "cpu" and any(_kernels(net)):
        raise InputError(
            f"--model {case.model} in float16 on the CPU: torch's gradients of a kernel round "
            "more there than any bound that we know, so they cannot be judged; use --dtype bfloat16"
        )


def _kernels(net: Model) -> Iterator[str]:
    """The names of the kernels of its convolutions."""
    nodes = recorded_forward(net, ())
    return (n.inputs[1] for n in nodes if n.operation.startswith("conv2d"))


def _parameters(case: Case, net: Model) -> Tensors:
    """Weights (two dimensions or more) from the case's initializer, the scales of norms near 1,
    biases near 0."""
    rng = np.random.default_rng([case.seed, 1])
    options = {"scale": case.scale} if case.initializer == "normal" else {}
    params: Tensors = {}
    for name, shape in net.shapes().items():
        if len(shape) > 1:
            drawn = INITIALIZERS[case.initializer](rng, shape, **options)
        else:
            scales = name.endswith(".weight")
            drawn = scales + rng.standard_normal(shape) * case.bias_scale
        with np.errstate(over="ignore"):
            params[name] = drawn.astype(case.dtype)
        if not np.isfinite(params[name]).all():
            raise InputError(
                f"{name} is drawn with numbers too large for {case.dtype}; use a smaller --scale "
                "or --bias-scale"
            )
    return params


def _torch_side(
    case: Case,
    device: torch.device,
    by_hand: ManualSide,
    module: nn.Module,
    params: Tensors,
    x: np.ndarray,
) -> TorchSide:
    net = by_hand.net
    module.to(device, getattr(torch, case.dtype))
    own, statistics = parameters(net, module), buffers(net, module)
    with torch.no_grad():
        for name, p in own.items():
            p.copy_(to_torch(params[name]))
    penalty = Penalty(net.l1, net.l2, net.m, case.l2_route)
    make, read = trace.OPTIMIZERS[case.update_rule]
    constants = asdict(cast(Any, by_hand.optimizer))
    decay = constants.get("weight_decay", penalty.weight_decay)
    optimizer = make(parameter_groups(module, decay), **constants)
    masks = list(net.shapes_of_masks(1))
    names = names_for(net, module, recorded_forward(net, masks), to_torch(x, device))
    criterion = operations.find(net.loss)(net.reduction)
    task = trace.Task(
        module,
        own,
        criterion,
        optimizer,
        read,
        penalty,
        names,
        buffers=statistics,
        micro_batches=by_hand.accumulate,
        reduction=net.reduction,
        clip_norm=by_hand.clipping.max_norm if by_hand.clipping else None,
    )
    order = _order(by_hand.nodes(bool(masks), by_hand.accumulate))
    schedule = by_hand.schedule
    scheduler = schedule.in_torch(optimizer) if schedule else None
    return TorchSide(module, task, net, order, device, schedule, scheduler)


def _order(nodes: tuple[Node, ...]) -> dict[str, int]:
    """Where each tensor stands in a step."""
    order: dict[str, int] = {}
    for node in nodes:
        for name in node.outputs:
            order.setdefault(name, len(order))
    return order
