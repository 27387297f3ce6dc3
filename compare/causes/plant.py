"""Plant a known mistake on either side, and run the step with it.

The side's own arithmetic is used: NumPy's hand-written functions, or torch's modules, autograd and
optimizers, node by node. So the step carries that side's rounding, and the mistake.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.bounds.precision import all_widened, is_real, rounded, widened
from torch_parity.compare.causes.cause import Cause, Evidence
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.trace import judged_in
from torch_parity.compare.judge.replay import apply
from torch_parity.compare.register import FUNCTIONS, OPERATIONS, PRIMITIVES
from torch_parity.compare.tensors import to_numpy, to_torch
from torch_parity.torch_ref.losses import regularization
from torch_parity.torch_ref.optimizers import adam, momentum, sgd

Tensors = dict[str, np.ndarray]

BY_HAND: dict[str, Callable[..., Any]] = {
    **FUNCTIONS,
    **PRIMITIVES,
    "lower": rounded,
    "cut": rounded,
    "wider": lambda x: x.astype(np.float64),
    "like": lambda array, reference: (
        array.astype(reference.dtype) if is_real(array.dtype) else array
    ),
}


def plant(
    cause: Cause,
    nodes: tuple[Node, ...],
    known: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    way: int = 0,
    layers: set[int] | None = None,
) -> tuple[Node, ...] | None:
    """The flow with the mistake in it, or None where the case offers no place for it.

    known is what the step was given, with previous_..., other_... and batch for the mistakes that
    need them; right is the trace of the right step, for shapes. layers restricts the mistake to
    some layers (0 is the network as a whole).
    """
    at = all_widened({**right, **known})
    evidence = Evidence(nodes, at, dtype=judged_in(known, right), rng=rng)
    changed = list(nodes)
    for effect in cause.ways[way]:
        touched = False
        for i, node in enumerate(nodes):
            if not effect.on(node) or (layers is not None and node.layer not in layers | {0}):
                continue
            for new in list(effect.change(node, evidence))[:1]:
                changed[i], touched = new, True
        if not touched:
            return None
    return tuple(changed)


def run(nodes: tuple[Node, ...], known: Mapping[str, np.ndarray], side: str) -> Tensors:
    """Execute the flow on one side -> its trace.

    Raises:
        ValueError, RuntimeError: the mistake does not even run on these shapes.
    """
    in_torch = side == "torch"
    table = IN_TORCH if in_torch else BY_HAND
    at = {name: to_torch(a) if in_torch else widened(a) for name, a in known.items()}
    trace: dict[str, Any] = {}
    for i, node in enumerate(nodes):
        for name in node.inputs:
            if name.startswith("new_") and name not in at:
                at[name] = _ahead(nodes[i:], name.removeprefix("new_"), at, table)
        made = _execute(node, at, table)
        trace |= made
        at |= {name: value for name, value in made.items() if name not in known}
        at |= {f"new_{name}": value for name, value in made.items() if name in known}
    return {n: to_numpy(v) if isinstance(v, Tensor) else np.asarray(v) for n, v in trace.items()}


def _execute(node: Node, at: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        made = apply(node, table, [at[name] for name in node.inputs])
    return dict(zip(node.outputs, made, strict=True))


def _ahead(
    nodes: tuple[Node, ...], wanted: str, at: Mapping[str, Any], table: Mapping[str, Any]
) -> Any:
    """A parameter updated before its turn: the first node's own gradients, then what leads on."""
    first, *rest = nodes
    n = sum(not name.startswith("new_") for name in first.inputs)
    plain = replace(first, inputs=first.inputs[:n], formula=None)
    at = {**at, **_execute(plain, at, table)}
    for node in rest:
        if node.layer != first.layer or not all(name in at for name in node.inputs):
            continue
        made = _execute(node, at, table)
        if wanted in made:
            return made[wanted]
        at |= {f"new_{n}" if n in at else n: value for n, value in made.items()}
    raise ValueError(f"nothing in this step makes {wanted}")


def _forward(name: str) -> Callable[..., Tensor]:
    twin = OPERATIONS[name].twin
    return lambda *inputs, **options: twin(**options)(*inputs)


def _backward(name: str, is_loss: bool) -> Callable[..., Tensor]:
    """autograd's gradient of the first input."""

    def gradient(*given: Tensor, **options: Any) -> Tensor:
        upstream, (x, *rest) = (None, given) if is_loss else (given[0], given[1:])
        x = x.detach().requires_grad_()
        out = _forward(name)(x, *rest, **options)
        return torch.autograd.grad(out, x, upstream)[0]

    return gradient


def _linear_backward(dz: Tensor, x: Tensor, W: Tensor) -> tuple[Tensor, ...]:
    x, W = x.detach().requires_grad_(), W.detach().requires_grad_()
    b = torch.zeros(W.shape[0], dtype=W.dtype, requires_grad=True)
    return torch.autograd.grad(_forward("linear")(x, W, b), (x, W, b), dz)


def _linear_backward_parameters(dz: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    W = torch.zeros(dz.shape[1], x.shape[1], dtype=x.dtype)
    return _linear_backward(dz, x, W)[1:]


def _penalties(*weights: Tensor, l1: float, l2: float, m: int) -> Tensor:
    return regularization.Penalty(l1, l2, m).value(list(weights))


def _penalties_backward(dW: Tensor, W: Tensor, l1: float, l2: float, m: int) -> Tensor:
    W = W.detach().requires_grad_()
    return dW + torch.autograd.grad(_penalties(W, l1=l1, l2=l2, m=m), W)[0]


def _optimizer(
    make: Callable[..., torch.optim.Optimizer], read: Any, names: tuple[str, ...]
) -> Callable[..., Any]:
    """One step of the real optimizer from the given memory -> (memory, parameter)."""

    def update(W: Tensor, dW: Tensor, *slots: Tensor, **constants: float) -> Any:
        lr = constants["lr"]
        p = torch.nn.Parameter(W.clone())
        p.grad = dW.clone()
        optimizer = make([{"params": [p]}], **{**constants, "lr": abs(lr)})
        memory = {name: s.clone() for name, s in zip(names, slots, strict=True)}
        if "step" in memory:
            memory["step"] = (memory["step"] - 1).to(torch.float32)
        if make is momentum.momentum_course:
            memory["momentum_buffer"] /= 1 - constants["beta"]
        optimizer.state[p].update(memory)
        optimizer.step()
        after = read(optimizer.state[p], optimizer.param_groups[0])
        made = [value.detach() for slot, value in after.items() if slot != "t"]
        new = p.detach() if lr > 0 else 2 * W - p.detach()  # torch refuses a negative lr
        return (*made, new) if made else new

    return update


IN_TORCH: dict[str, Callable[..., Any]] = {
    **{name: _forward(name) for name in OPERATIONS},
    **{f"{name}_backward": _backward(name, op.is_loss) for name, op in OPERATIONS.items()},
    "dropout": lambda a, mask: a * mask,
    "dropout_backward": lambda dh, mask: dh * mask,
    "linear_backward": _linear_backward,
    "linear_backward_parameters": _linear_backward_parameters,
    "penalty": _penalties,
    "penalty_backward": _penalties_backward,
    "cost": lambda loss, penalty: loss + penalty,
    "count": lambda t: t + 1,
    "shard": FUNCTIONS["shard"],
    "all_reduce": FUNCTIONS["all_reduce"],
    "sgd": _optimizer(sgd.sgd, sgd.slots, ()),
    "momentum": _optimizer(momentum.momentum, momentum.slots, ("momentum_buffer",)),
    "momentum_course": _optimizer(
        momentum.momentum_course, momentum.slots_course, ("momentum_buffer",)
    ),
    "adam": _optimizer(adam.adam, adam.slots, ("exp_avg", "exp_avg_sq", "step")),
    "weigh": PRIMITIVES["weigh"],
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sign": torch.sign,
    "like": lambda array, reference: to_torch(array).to(
        reference.dtype if is_real(array.dtype) else torch.int64
    ),
    "lower": lambda x, to: x.to(getattr(torch, to)).to(x.dtype) if x.is_floating_point() else x,
    "cut": lambda x, to: to_torch(rounded(to_numpy(x), to)),
    "wider": lambda x: x.to(torch.float64 if x.dtype == torch.float32 else torch.float32),
}
