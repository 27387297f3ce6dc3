"""The register: all that the judge knows of an operation, one row each.

A new operation is one file in manual/, one in torch_ref/, and one row here: parity tests, replay
and rounding bounds follow from it. The bounds need no column: rounding.py derives them by
running the hand-written function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torch_parity import manual
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.manual.ops.linear import linear_backward_parameters
from torch_parity.torch_ref.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
    regularization,
)
from torch_parity.torch_ref.ops import (
    dropout,
    identity,
    leaky_relu,
    linear,
    relu,
    sigmoid,
    softmax,
    tanh,
)

Samples = dict[str, np.ndarray]
Draw = Callable[[np.random.Generator, Any], Samples]


@dataclass(frozen=True)
class Operation:
    """One differentiable operation.

    forward(*inputs, **options) is by hand. backward(upstream, *inputs, **options) gives the
    gradients of the inputs named in `differentiable`, in that order; a loss takes no upstream.
    twin(**options) is torch's, a callable on the same inputs as tensors. samples(rng, dtype) draws
    inputs: not square, more than one sample, no zeros where there need be none.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    twin: Callable[..., Callable[..., Tensor]]
    samples: Draw
    differentiable: tuple[str, ...] = ("z",)
    options: tuple[dict[str, Any], ...] = ({},)
    is_loss: bool = False


def _draw(**shapes: tuple[int, ...]) -> Draw:
    def samples(rng: np.random.Generator, dtype: Any) -> Samples:
        return {name: rng.normal(0, 2, shape).astype(dtype) for name, shape in shapes.items()}

    return samples


def _scores_and_classes(rng: np.random.Generator, dtype: Any) -> Samples:
    return {"z": rng.normal(0, 3, (6, 5)).astype(dtype), "y": rng.integers(0, 5, 6)}


def _scores_and_bits(rng: np.random.Generator, dtype: Any) -> Samples:
    bits = rng.integers(0, 2, (6, 2)).astype(dtype)
    return {"z": rng.normal(0, 3, (6, 2)).astype(dtype), "y": bits}


def _probabilities_and_bits(rng: np.random.Generator, dtype: Any) -> Samples:
    bits = rng.integers(0, 2, (6, 2)).astype(dtype)
    return {"a": rng.uniform(0.001, 0.999, (6, 2)).astype(dtype), "y": bits}


_DROPOUT_SEED, _DROPOUT_P = 7, 0.3


def _units_and_mask(rng: np.random.Generator, dtype: Any) -> Samples:
    """The mask that nn.Dropout will draw once its generator is seeded like this one."""
    a = rng.normal(0, 2, (6, 5)).astype(dtype)
    state = torch.Generator().manual_seed(_DROPOUT_SEED).get_state()
    mask = dropout.recover_mask(_DROPOUT_P, state, torch.tensor(a))
    return {"a": a, "mask": mask.numpy()}


def _linear_twin() -> Callable[..., Tensor]:
    def apply(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
        module = linear.linear(W.shape[1], W.shape[0])
        out: Tensor = torch.func.functional_call(module, {"weight": W, "bias": b}, (x,))
        return out

    return apply


def _dropout_twin() -> Callable[..., Tensor]:
    def apply(a: Tensor, mask: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_DROPOUT_SEED)
            out: Tensor = dropout.dropout(_DROPOUT_P)(a)
            return out

    return apply


def _activation(
    name: str, twin: Callable[..., nn.Module], options: tuple[dict[str, Any], ...] = ({},)
) -> Operation:
    forward, backward = getattr(manual, name), getattr(manual, name + "_backward")
    return Operation(name, forward, backward, twin, _draw(z=(6, 5)), options=options)


def _loss(name: str, twin: Callable[..., nn.Module], samples: Draw, of: str) -> Operation:
    forward, backward = getattr(manual, name), getattr(manual, name + "_backward")
    reductions = ({"reduction": "mean"}, {"reduction": "sum"})
    return Operation(name, forward, backward, twin, samples, (of,), reductions, is_loss=True)


def _penalty(name: str, twin: Callable[..., Tensor]) -> Operation:
    forward, backward = getattr(manual, name), getattr(manual, name + "_backward")
    return Operation(
        name,
        lambda W, lambd, m: forward([W], lambd, m),
        backward,
        lambda lambd, m: lambda W: twin([W], lambd, m),
        _draw(W=(4, 7)),
        ("W",),
        ({"lambd": 0.7, "m": 11},),
        is_loss=True,
    )


OPERATIONS: dict[str, Operation] = {
    row.name: row
    for row in (
        Operation(
            "linear",
            manual.linear,
            lambda dz, x, W, b: manual.linear_backward(dz, x, W),
            _linear_twin,
            _draw(x=(6, 5), W=(3, 5), b=(3,)),
            ("x", "W", "b"),
        ),
        Operation(
            "dropout",
            manual.dropout,
            lambda dh, a, mask: manual.dropout_backward(dh, mask),
            _dropout_twin,
            _units_and_mask,
            ("a",),
        ),
        _activation("sigmoid", sigmoid.sigmoid),
        _activation("tanh", tanh.tanh),
        _activation("relu", relu.relu),
        _activation(
            "leaky_relu",
            leaky_relu.leaky_relu,
            ({"negative_slope": 0.01}, {"negative_slope": 0.3}),
        ),
        _activation("identity", identity.identity),
        _activation("softmax", softmax.softmax),
        _loss(
            "binary_cross_entropy",
            binary_cross_entropy.binary_cross_entropy,
            _probabilities_and_bits,
            "a",
        ),
        _loss(
            "binary_cross_entropy_with_logits",
            binary_cross_entropy_with_logits.binary_cross_entropy_with_logits,
            _scores_and_bits,
            "z",
        ),
        _loss("cross_entropy", cross_entropy.cross_entropy, _scores_and_classes, "z"),
        _loss("mse_loss", mse_loss.mse_loss, _draw(a=(6, 3), y=(6, 3)), "a"),
        _penalty("l1_penalty", regularization.l1_penalty),
        _penalty("l2_penalty", regularization.l2_penalty),
    )
}


def _penalties(*weights: Any, l1: float, l2: float, m: int) -> Any:
    return manual.l1_penalty(weights, l1, m) + manual.l2_penalty(weights, l2, m)


def _penalties_backward(dW: Any, W: Any, l1: float, l2: float, m: int) -> Any:
    by_l1, by_l2 = manual.l1_penalty_backward(W, l1, m), manual.l2_penalty_backward(W, l2, m)
    return dW + (by_l1 + by_l2)


def _all_reduce(*parts: Any, rows: tuple[int, ...], reduction: Any) -> Any:
    return manual.all_reduce(parts, manual.shares(rows, reduction))


def _state_first(update: Callable[..., Any]) -> Callable[..., Any]:
    """(W, v) -> (v, W): a step records what it remembers before the parameter that follows."""

    def turned(*args: Any, **options: Any) -> Any:
        W, *slots = update(*args, **options)
        return (*slots, W)

    return turned


def _adam(W: Any, dW: Any, v: Any, s: Any, t: Any, **constants: float) -> Any:
    """A recorded t is an array, whose powers would drag a float32 step up to float64."""
    return manual.adam(W, dW, v, s, int(t), **constants)


def _lower(x: Any, to: str) -> Any:
    """A bounded number as a lower precision would hold it; labels and counters stay."""
    return x.lowered(to) if isinstance(x, Bounded) else x


def _cut(x: Any, to: str) -> Any:
    """Only rounded to what a lower precision holds, and computed with as before."""
    return x.cut(to) if isinstance(x, Bounded) else x


# What a node of the flow may name, with the signature of manual: it alone is ever looked up.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(manual, name) for name in OPERATIONS},
    **{f"{name}_backward": getattr(manual, f"{name}_backward") for name in OPERATIONS},
    "linear_backward_parameters": linear_backward_parameters,
    "penalty": _penalties,
    "penalty_backward": _penalties_backward,
    "cost": lambda loss, penalty: loss + penalty,
    "count": lambda t: t + 1,
    "shard": lambda batch, begin, end: batch[begin:end],
    "all_reduce": _all_reduce,
    "sgd": manual.sgd,
    "momentum": _state_first(manual.momentum),
    "momentum_course": _state_first(manual.momentum_course),
    "adam": _state_first(_adam),
}

# What the formula of a known mistake may use besides: see causes/.
PRIMITIVES: dict[str, Callable[..., Any]] = {
    "log": np.log,
    "sqrt": np.sqrt,
    "sign": np.sign,
    "like": lambda array, reference: array,
    "lower": _lower,
    "cut": _cut,
    "wider": lambda x: x,
    "weigh": manual.all_reduce,
}
