"""Optimizers written out, with torch's options and state."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Own(Optimizer):
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, self.state[parameter], group)

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        raise NotImplementedError


class AdamW(Own):
    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0) -> None:
        options = {"lr": lr, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": weight_decay}
        super().__init__(params, options)

    def moments(self, p: Tensor, grad: Tensor, state: dict[str, Any], betas: Any) -> tuple:
        """The bias-corrected means of the gradient and of its square."""
        if not state:
            state |= {"step": torch.tensor(0.0)}
            state |= {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        state["step"] += 1
        first, second = betas
        state["exp_avg"] = first * state["exp_avg"] + (1 - first) * grad
        state["exp_avg_sq"] = second * state["exp_avg_sq"] + (1 - second) * grad**2
        step = state["step"].item()
        return state["exp_avg"] / (1 - first**step), state["exp_avg_sq"] / (1 - second**step)

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        mean, square = self.moments(p, grad, state, group["betas"])
        change = mean / (square.sqrt() + group["eps"]) + group["weight_decay"] * p
        p -= group["lr"] * change


class Adam(AdamW):
    """The decay in the gradient."""

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        grad = grad + group["weight_decay"] * p
        mean, square = self.moments(p, grad, state, group["betas"])
        p -= group["lr"] * mean / (square.sqrt() + group["eps"])


class Nesterov(Own):
    def __init__(self, params: Any, lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        grad = grad + group["weight_decay"] * p
        kept = state.get("momentum_buffer")
        kept = grad if kept is None else group["momentum"] * kept + grad
        state["momentum_buffer"] = kept
        p -= group["lr"] * (grad + group["momentum"] * kept)


class RMSprop(Own):
    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "alpha": 0.99, "eps": 1e-8})

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        alpha = group["alpha"]
        square = state.get("square_avg", torch.zeros_like(p))
        state["square_avg"] = alpha * square + (1 - alpha) * grad * grad
        p -= group["lr"] * grad / (state["square_avg"].sqrt() + group["eps"])
