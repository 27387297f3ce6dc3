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
from torch_parity.compare.flow.functions import (
    FUNCTIONS,
    PARAMETERS,
    PRIMITIVES,
    STRUCTURE,
    apply,
    split,
)
from torch_parity.compare.flow.nodes import Node, is_private
from torch_parity.compare.flow.trace import judged_in
from torch_parity.compare.register import OPERATIONS, SCHEDULES
from torch_parity.compare.register.row import Operation
from torch_parity.compare.tensors import to_numpy, to_torch
from torch_parity.manual.models.step import Tensors
from torch_parity.manual.recording import by_name
from torch_parity.torch_ref.trace import OPTIMIZERS


class _ByHand(dict[str, Callable[..., Any]]):
    """The hand-written functions; the register may have grown since."""

    def __missing__(self, name: str) -> Callable[..., Any]:
        return FUNCTIONS[name]


BY_HAND = _ByHand(
    {
        **PRIMITIVES,
        "lower": rounded,
        "cut": rounded,
        "wider": lambda x: x.astype(np.float64),
        "like": lambda array, reference: (
            array.astype(reference.dtype) if is_real(array.dtype) else array
        ),
    }
)


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
            if not effect.on(node, evidence) or (
                layers is not None and node.layer not in layers | {0}
            ):
                continue
            for new in list(effect.change(node, evidence))[:1]:
                changed[i], touched = new, True
        if not touched:
            return None
    return tuple(changed)


def outputs_read_back(nodes: tuple[Node, ...]) -> set[str]:
    """The outputs that the backward of the same operation reads. Autograd reads those that it
    computed itself, so in torch a mistake in them alone shows in the gradients as well."""
    return {name for n in nodes if n.forward for name in {*n.forward.outputs} & {*n.inputs}}


def only_by_hand(cause: Cause, way: int, nodes: tuple[Node, ...]) -> bool:
    """Whether this is a mistake in outputs alone that the backward reads: torch's gradients are
    those of the mistaken forward."""
    read = outputs_read_back(nodes)
    nothing = Evidence((), {})
    touched = [n for n in nodes if any(effect.on(n, nothing) for effect in cause.ways[way])]
    return not any(n.forward for n in touched) and any(read & {*n.outputs} for n in touched)


def execute(nodes: tuple[Node, ...], known: Mapping[str, np.ndarray], side: str) -> Tensors:
    """Execute the flow on one side -> its trace.

    Raises:
        ValueError, RuntimeError: the mistake does not even run on these shapes.
    """
    in_torch = side == "torch"
    at = {name: to_torch(a) if in_torch else widened(a) for name, a in known.items()}
    trace: dict[str, Any] = {}
    for i, node in enumerate(nodes):
        for name in node.inputs:
            if name.startswith("new_") and name not in at:
                at[name] = _ahead(nodes[i:], name.removeprefix("new_"), at, in_torch)
        made = _execute_node(node, at, in_torch)
        trace |= {name: value for name, value in made.items() if not is_private(name)}
        at |= {name: value for name, value in made.items() if name not in known}
        at |= {f"new_{name}": value for name, value in made.items() if name in known}
    return {n: to_numpy(v) if isinstance(v, Tensor) else np.asarray(v) for n, v in trace.items()}


def _execute_node(node: Node, at: Mapping[str, Any], in_torch: bool) -> dict[str, Any]:
    table = _InTorch(node, at) if in_torch else BY_HAND
    with np.errstate(all="ignore"):
        made = apply(node, table, [at[name] for name in node.inputs])
    return dict(zip(node.outputs, made, strict=True))


def _ahead(nodes: tuple[Node, ...], wanted: str, at: Mapping[str, Any], in_torch: bool) -> Any:
    """A parameter updated before its turn: the first node's own gradients, then what leads on."""
    first, *rest = nodes
    n = sum(not name.startswith("new_") for name in first.inputs)
    plain = replace(first, inputs=first.inputs[:n], formula=None)
    at = {**at, **_execute_node(plain, at, in_torch)}
    for node in rest:
        if node.layer != first.layer or not all(name in at for name in node.inputs):
            continue
        made = _execute_node(node, at, in_torch)
        if wanted in made:
            return made[wanted]
        at |= {f"new_{n}" if n in at else n: value for n, value in made.items()}
    raise ValueError(f"nothing in this step makes {wanted}")


class _InTorch(dict[str, Callable[..., Any]]):
    """torch's own functions; the gradients are autograd's.

    A backward reads only some of its forward's inputs. autograd needs the others as well, and takes
    those of the node's own forward.
    """

    def __init__(self, node: Node, at: Mapping[str, Any]) -> None:
        super().__init__(IN_TORCH)
        self.at, self.of = at, node.forward

    def __missing__(self, operation: str) -> Callable[..., Any]:
        name, suffix = split(operation)
        row = OPERATIONS[name]
        if not suffix:
            return _forward(row)
        if row.kind == "penalty":
            return _penalty_backward
        return self._backward(row, suffix)

    def _backward(self, row: Operation, suffix: str) -> Callable[..., Any]:
        parameters_alone = suffix == PARAMETERS
        asks = row.backward_parameters if parameters_alone else row.backward
        assert asks is not None

        def gradients(*given: Tensor, **options: Any) -> Any:
            read = by_name(asks, given)
            inputs = [
                x.detach()
                for name in row.inputs
                for x in (read[name] if name in read else self._inputs(row, name))
            ]
            wanted = row.differentiated(inputs)[1 if parameters_alone else 0 :]
            if not wanted:
                return ()
            for x in wanted:
                x.requires_grad_()
            made = _forward(row)(*inputs, **self._all_options(row, options))
            of = row.continued(made if isinstance(made, tuple) else (made,))
            upstream = None if row.is_loss else [d for name in row.arriving for d in read[name]]
            found = torch.autograd.grad(of, wanted, upstream)
            return found if len(found) > 1 else found[0]

        return gradients

    def _inputs(self, row: Operation, name: str) -> tuple[Tensor, ...]:
        if self.of is None or self.of.operation != row.name:
            raise ValueError(f"{row.name}: autograd needs {name}, which is not given here")
        return tuple(self.at[n] for n in by_name(row.forward, self.of.inputs)[name])

    def _all_options(self, row: Operation, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """A backward does not take the options that its formula does not need; autograd does."""
        if self.of is None or self.of.operation != row.name:
            return options
        return {**self.of.options, **options}


def _forward(row: Operation) -> Callable[..., Tensor]:
    if row.kind == "dropout":  # the mask is given; nn.Dropout would draw its own
        return lambda a, mask: a * mask
    return lambda *inputs, **options: row.twin(**options)(*inputs)


def _penalty_backward(dW: Tensor, W: Tensor, **options: Any) -> Tensor:
    W = W.detach().requires_grad_()
    return dW + torch.autograd.grad(_forward(OPERATIONS["penalty"])(W, **options), W)[0]


# What torch calls what each optimizer is given, in the order of a node's inputs.
MEMORY = {
    "sgd": (),
    "momentum": ("momentum_buffer",),
    "momentum_course": ("momentum_buffer",),
    "nesterov": ("momentum_buffer",),
    "rmsprop": ("square_avg",),
    "adam": ("exp_avg", "exp_avg_sq", "step"),
    "adamw": ("exp_avg", "exp_avg_sq", "step"),
}


def _optimizer(name: str, names: tuple[str, ...]) -> Callable[..., Any]:
    """One step of the real optimizer from the given memory -> (memory, parameter)."""
    make, read = OPTIMIZERS[name]

    def update(W: Tensor, dW: Tensor, *slots: Tensor, **constants: float) -> Any:
        lr = constants["lr"]
        p = torch.nn.Parameter(W.clone())
        p.grad = dW.clone()
        optimizer = make([{"params": [p]}], **{**constants, "lr": abs(lr)})
        memory = {name: s.clone() for name, s in zip(names, slots, strict=True)}
        if "step" in memory:
            memory["step"] = (memory["step"] - 1).to(torch.float32)
        if name == "momentum_course":
            memory["momentum_buffer"] /= 1 - constants["beta"]
        optimizer.state[p].update({"step": torch.zeros(()), **memory})
        optimizer.step()
        after = read(optimizer.state[p], optimizer.param_groups[0])
        made = [value.detach() for slot, value in after.items() if slot != "t"]
        new = p.detach() if lr > 0 else 2 * W - p.detach()  # torch refuses a negative lr
        return (*made, new) if made else new

    return update


def _schedule(by_hand: Callable[..., Any]) -> Callable[..., Any]:
    """A learning rate is a Python number in torch as well."""
    return lambda lr, t, **options: to_torch(np.asarray(by_hand(to_numpy(lr), int(t), **options)))


IN_TORCH: dict[str, Callable[..., Any]] = {
    **STRUCTURE,
    **{name: _schedule(by_hand) for name, by_hand in SCHEDULES.items()},
    **{name: _optimizer(name, in_torch) for name, in_torch in MEMORY.items()},
    "weigh": PRIMITIVES["weigh"],
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sign": torch.sign,
    "flip": torch.flip,
    "where": torch.where,
    "like": lambda array, reference: to_torch(array).to(
        reference.dtype if is_real(array.dtype) else torch.int64
    ),
    "lower": lambda x, to: x.to(getattr(torch, to)).to(x.dtype) if x.is_floating_point() else x,
    "cut": lambda x, to: to_torch(rounded(to_numpy(x), to)),
    "wider": lambda x: x.to(torch.float64 if x.dtype == torch.float32 else torch.float32),
}
