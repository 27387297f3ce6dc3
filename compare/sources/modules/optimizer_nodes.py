"""What a torch optimizer remembers, by name, and the register's name for what it does."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torch_parity.compare.flow.nodes import Node

SGD_PLAIN: dict[str, Any] = {
    "dampening": 0,
    "nesterov": False,
    "weight_decay": 0,
    "maximize": False,
}
ADAM_PLAIN: dict[str, Any] = {
    "amsgrad": False,
    "weight_decay": 0,
    "maximize": False,
    "decoupled_weight_decay": False,
}


def memory(
    optimizer: torch.optim.Optimizer, params: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """fc1.weight.momentum_buffer, fc1.weight.exp_avg...; what a first step will begin from is 0,
    as torch has it."""
    found: dict[str, Tensor] = {}
    for name, p, group in grouped(optimizer, params):
        state = optimizer.state.get(p) or _first(type(optimizer), group, p)
        for key, value in state.items():
            if isinstance(value, int | float | Tensor):
                tensor = torch.as_tensor(value)
                # a counter is no rounded number, though torch keeps it as one
                found[f"{name}.{key}"] = tensor.long() if key == "step" else tensor
    return found


def grouped(
    optimizer: torch.optim.Optimizer, params: Mapping[str, nn.Parameter]
) -> Iterator[tuple[str, nn.Parameter, dict[str, Any]]]:
    """Each of these parameters that the optimizer updates, with the options of its group."""
    groups = {p: group for group in optimizer.param_groups for p in group["params"]}
    for name, p in params.items():
        if p in groups:
            yield name, p, groups[p]


def _first(kind: type, group: Mapping[str, Any], p: Tensor) -> dict[str, Any]:
    if kind is torch.optim.SGD and group["momentum"]:
        return {"momentum_buffer": torch.zeros_like(p)}
    if kind is torch.optim.Adam:
        zeros = torch.zeros_like(p)
        return {"step": torch.tensor(0), "exp_avg": zeros, "exp_avg_sq": zeros}
    return {}


def update_nodes(
    optimizer: torch.optim.Optimizer,
    params: Mapping[str, nn.Parameter],
) -> tuple[list[Node], list[str]]:
    """The nodes that update these parameters, and why others have none."""
    nodes: list[Node] = []
    notes = []
    for name, _, group in grouped(optimizer, params):
        special = _special(optimizer, group)
        if special is None:
            nodes += _update(type(optimizer), name, group)
        else:
            notes.append(f"Updates by {special}: compared, not judged.")
    return nodes, list(dict.fromkeys(notes))


def _special(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> str | None:
    """What is none of the register's about this group; None if it is plain."""
    kind = type(optimizer)
    plain = {torch.optim.SGD: SGD_PLAIN, torch.optim.Adam: ADAM_PLAIN}.get(kind)
    if plain is None:
        return kind.__name__
    options = [f"{n}={group[n]!r}" for n, value in plain.items() if group.get(n, value) != value]
    return f"{kind.__name__} with {', '.join(options)}" if options else None


def _update(kind: type, p: str, group: Mapping[str, Any]) -> list[Node]:
    inputs, lr = (p, f"{p}.grad"), {"lr": float(group["lr"])}
    if kind is torch.optim.Adam:
        t, v, s = (f"{p}.{key}" for key in ("step", "exp_avg", "exp_avg_sq"))
        beta1, beta2 = group["betas"]
        options = {**lr, "beta1": beta1, "beta2": beta2, "eps": group["eps"]}
        return [
            Node("count", (t,), (t,)),
            Node("adam", (*inputs, v, s, f"new_{t}"), (v, s, p), options),
        ]
    if group["momentum"]:
        v = f"{p}.momentum_buffer"
        options = {**lr, "momentum": group["momentum"]}
        return [Node("momentum", (*inputs, v), (v, p), options)]
    return [Node("sgd", inputs, (p,), lr)]
