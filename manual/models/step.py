"""One training step of any model: forward, cost, backward, update; every tensor kept by name.

Dictionaries are in the order in which the step computes them, and no array in them shares memory
with another or with an argument.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from torch_parity.manual.losses.reduction import Reduction
from torch_parity.manual.losses.regularization import penalty, penalty_backward
from torch_parity.manual.names import Names
from torch_parity.manual.operations import find

Tensors = dict[str, np.ndarray]
AnyModel = TypeVar("AnyModel", bound="Model")


class Model(Protocol):
    """What to compute; the numbers (parameters, dropout masks, what the optimizer remembers) are
    always arguments. params holds what a state_dict of torch holds: the parameters, and the running
    statistics of a model that keeps any (KeepsStatistics). sample_shape, of a model that has such a
    field, is that of one sample before it became a row of x: (c, h, w) of an image. loss and
    reduction name the loss of the model's output; l1 and l2 are the course's lambda, and m the
    fixed number of samples that they are divided by (1/2 where the penalty is lambda times the sum,
    as other courses have it). share, of a model that has such a field, is the share of a
    micro-batch's loss in that of its batch (manual/accumulation.py); else 1.
    """

    @property
    def sizes(self) -> tuple[int, ...]:
        """The widths, from the input's to the output's."""

    @property
    def loss(self) -> str: ...
    @property
    def reduction(self) -> Reduction: ...
    @property
    def l1(self) -> float: ...
    @property
    def l2(self) -> float: ...
    @property
    def m(self) -> float: ...
    @property
    def names(self) -> Names:
        """What its gradients are called."""

    @property
    def result(self) -> str:
        """The name of the tensor that the loss reads."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters by name, in order; those of two dimensions or more are weights."""

    def shapes_of_masks(self, samples: int) -> dict[str, tuple[int, ...]]:
        """The dropout masks by name, in order."""

    def example(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Some x and y that fit, of that many samples."""

    def forward(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
    ) -> Tensors:
        """Every tensor from the input to the result; masks is {} outside training."""

    def backward(
        self,
        params: Mapping[str, np.ndarray],
        t: Mapping[str, np.ndarray],
        y: np.ndarray,
        masks: Mapping[str, np.ndarray],
    ) -> Tensors:
        """The gradient of the cost for every tensor of forward, and for every parameter."""


@runtime_checkable
class KeepsStatistics(Protocol):
    """What a model with batch norm has besides. Its forward returns the statistics after the batch
    under the names of those that it was given, as a value out; training says which mode it is in,
    as module.train() and module.eval() do in torch."""

    @property
    def training(self) -> bool: ...

    def buffers(self) -> Tensors:
        """The running statistics before the first step, by name: 0 and 1, as in torch."""


@runtime_checkable
class Attends(Protocol):
    """What a model with attention has besides."""

    def attention_weights(self, t: Mapping[str, np.ndarray]) -> Tensors:
        """What each query took of each key, from a recorded forward, to look at."""


def buffers_of(net: Model) -> Tensors:
    """The running statistics before the first step; {} of a model that keeps none."""
    return net.buffers() if isinstance(net, KeepsStatistics) else {}


def evaluating(net: AnyModel) -> AnyModel:
    """The same model in evaluation, where running statistics stand in for the batch's."""
    if not isinstance(net, KeepsStatistics):
        return net
    return cast(AnyModel, replace(cast(Any, net), training=False))


class Optimizer(Protocol):
    """What a step asks of an optimizer: what it remembers of a parameter, and one update."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of what it remembers, such as v and s."""

    def initial(self, W: np.ndarray) -> tuple[np.ndarray, ...]:
        """The slots before the first step."""

    @property
    def update(self) -> Callable[..., tuple[np.ndarray, ...]]:
        """update(W, dW, *slots) -> W', then the slots after this step."""


OF_CLASSES = ("cross_entropy", "multi_margin_loss")  # the losses whose labels are classes


def example_labels(loss: str, rng: np.random.Generator, samples: int, n_out: int) -> np.ndarray:
    """Labels as a loss needs them: classes, or one number for each output."""
    if loss in OF_CLASSES:
        return rng.integers(0, n_out, samples)
    return rng.integers(0, 2, (samples, n_out)).astype(np.float64)


def require_image(model: str, sample_shape: tuple[int, ...], least: int) -> None:
    """
    Raises:
        ValueError: sample_shape is not that of an image, or its sides are shorter than least.
    """
    if len(sample_shape) != 3 or min(sample_shape[1:]) < least:
        raise ValueError(
            f"{model}: a sample has shape {sample_shape}, expected images (channels, height, "
            f"width) of at least {least} by {least}"
        )


def forward(
    net: Model, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
) -> Tensors:
    """net.forward: every tensor from the input to the result, by name."""
    return net.forward(params, x, masks)


def backward(
    net: Model,
    params: Mapping[str, np.ndarray],
    t: Mapping[str, np.ndarray],
    y: np.ndarray,
    masks: Mapping[str, np.ndarray],
) -> Tensors:
    """net.backward: the gradient of the cost for everything in t, and for every parameter."""
    return net.backward(params, t, y, masks)


def weights_of(net: Model) -> list[str]:
    """The parameters that a penalty is taken of: those with two dimensions or more."""
    return [name for name, shape in net.shapes().items() if len(shape) > 1]


def cost(
    net: Model, params: Mapping[str, np.ndarray], output: np.ndarray, y: np.ndarray
) -> Tensors:
    """loss(output, y), and the penalty and the cost if the weights are penalised."""
    loss, _ = find(net.loss)
    return with_penalty(net, params, loss(output, y, reduction=net.reduction))


def loss_gradient(net: Model, output: np.ndarray, y: np.ndarray) -> np.ndarray:
    """d loss / d output, where every backward begins; times net.share, as (loss * share).backward()
    has it in torch."""
    _, loss_backward = find(net.loss)
    d = loss_backward(output, y, reduction=net.reduction)
    share = getattr(net, "share", 1.0)
    return d if share == 1 else share * d


def without_penalty(net: Model) -> Model:
    """The same model, whose backward makes the gradients of the loss alone."""
    return cast(Model, replace(cast(Any, net), l1=0.0, l2=0.0))


def with_penalty(net: Model, params: Mapping[str, np.ndarray], loss: np.ndarray) -> Tensors:
    """cost = loss + penalty of the weights; biases are never penalised.

    Without a penalty the dictionary holds loss alone.
    """
    t: Tensors = {"loss": loss}
    if net.l1 or net.l2:
        weights = (params[name] for name in weights_of(net))
        t["penalty"] = penalty(*weights, l1=net.l1, l2=net.l2, m=net.m)
        t["cost"] = t["loss"] + t["penalty"]
    return t


def gradients_of_the_cost(
    net: Model, params: Mapping[str, np.ndarray], g: Mapping[str, np.ndarray]
) -> Tensors:
    """From the gradients of the loss, g[name] for each tensor and parameter: those of the cost,
    under net.names. A weight that is penalised has both: the loss's, and then the cost's."""
    penalised = set(weights_of(net)) if net.l1 or net.l2 else set()
    made: Tensors = {}
    for name, gradient in g.items():
        if name in penalised:
            made[net.names.loss_gradient(name)] = gradient
            gradient = penalty_backward(gradient, params[name], l1=net.l1, l2=net.l2, m=net.m)
        made[net.names.gradient(name)] = gradient
    return made


def optimizer_of(optimizer: Optimizer, dimensions: int) -> Optimizer:
    """The optimizer as it updates a parameter with so many axes: weights have two or more, and only
    they decay. Biases, and the weights of norms, have one."""
    if dimensions > 1 or not getattr(optimizer, "weight_decay", 0.0):
        return optimizer
    return cast(Optimizer, replace(cast(Any, optimizer), weight_decay=0.0))


def initial_state(optimizer: Optimizer, params: Mapping[str, np.ndarray], names: Names) -> Tensors:
    """What the optimizer remembers before the first step, by name: vW1, vb1, vW2..."""
    state: Tensors = {}
    for name, p in params.items():
        slots = zip(optimizer.slots, optimizer.initial(p), strict=True)
        state |= {names.slot(slot, name): value for slot, value in slots}
    return state


def update(
    optimizer: Optimizer,
    params: Mapping[str, np.ndarray],
    g: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
    names: Names,
) -> Tensors:
    """Per parameter what the optimizer remembers, then the new parameter: vW1, W1, vb1, b1..."""
    new: Tensors = {}
    for name, p in params.items():
        called = [names.slot(slot, name) for slot in optimizer.slots]
        new_p, *new_slots = optimizer_of(optimizer, p.ndim).update(
            p, g[names.gradient(name)], *(state[slot] for slot in called)
        )
        new |= dict(zip(called, new_slots, strict=True))
        new[name] = new_p
    return new


def step(
    net: Model,
    optimizer: Optimizer,
    params: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    masks: Mapping[str, np.ndarray],
) -> Tensors:
    """One training step: forward, cost, backward, update; every tensor, in that order."""
    t = net.forward(params, x, masks)
    t |= {n: np.asarray(a) for n, a in cost(net, params, t[net.result], y).items()}
    t |= net.backward(params, t, y, masks)
    t |= update(optimizer, {name: params[name] for name in net.shapes()}, t, state, net.names)
    return t
