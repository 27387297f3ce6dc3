"""Fused optimizer steps: one kernel that writes parameters and their state.

Each rule returns, list by list, the new content of what the kernel writes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import lifted
from torch_parity.compare.bounds.tensors.elementwise import minus
from torch_parity.compare.bounds.tensors.products import inner, outer
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import current


def _number(x: Any) -> float:
    """A Python number, or a tensor of one."""
    if isinstance(x, BoundedTensor):
        return float(x.bounded.value.item())
    return float(x.item()) if isinstance(x, torch.Tensor) else float(x)


# b^t is good to a few units, where b is below 1
POWER_UNITS = 8.0


def _skipped(found_inf: Any) -> bool:
    """A step that a gradient which is no number has stopped."""
    return found_inf is not None and _number(found_inf) != 0


def _gradient(grad: Any, grad_scale: Any) -> Any:
    """The gradient without the factor that keeps halves from vanishing."""
    g = inner(grad, grad.dtype)
    return g if grad_scale is None else g / lifted(grad_scale, torch.float32).reshape(())


def _with_decay(g: Any, p: Any, maximize: bool, weight_decay: float) -> Any:
    """The gradient of what is minimised, with the penalty's."""
    g = minus(g) if maximize else g
    return np.add(g, p * weight_decay) if weight_decay else g


def _correction(beta: float, t: float, x: Any) -> Any:
    """1 - b^t, which accelerators compute in the parameters' precision: it cancels."""
    value = 1 - beta**t
    if not current().accelerator:
        return value
    return x.like(np.asarray(value, x.value.dtype), np.asarray(POWER_UNITS * x.inner_u))


def _adam(decoupled: bool) -> Callable[..., Any]:
    def step(
        params: Any, grads: Any, exp_avgs: Any, exp_avg_sqs: Any, max_exp_avg_sqs: Any,
        state_steps: Any, *, lr: Any, beta1: float, beta2: float, weight_decay: float, eps: float,
        amsgrad: bool, maximize: bool, grad_scale: Any = None, found_inf: Any = None,
    ) -> Any:  # fmt: skip
        """m = b1 m + (1 - b1) g       v = b2 v + (1 - b2) g^2

        p = p - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
        """
        lists: list[list[Any]] = [[], [], [], [], list(max_exp_avg_sqs) if not amsgrad else []]
        if _skipped(found_inf):
            return [list(params), list(grads), list(exp_avgs), list(exp_avg_sqs), max_exp_avg_sqs]
        rate = _number(lr)
        for i, (p, grad, m, v) in enumerate(zip(params, grads, exp_avgs, exp_avg_sqs, strict=True)):
            t = _number(state_steps[i])
            x, g = inner(p, p.dtype), _gradient(grad, grad_scale)
            lists[1].append(grad if grad_scale is None else outer(g, grad.dtype))
            if decoupled:
                g = minus(g) if maximize else g
                x = np.add(x, minus(x * (rate * weight_decay))) if weight_decay else x
            else:
                g = _with_decay(g, x, maximize, weight_decay)
            first, second = inner(m, m.dtype), inner(v, v.dtype)
            first = np.add(first, np.add(g, minus(first)) * _correction(beta1, 1, x))
            second = np.add(second * beta2, g * g * _correction(beta2, 1, x))
            widest = second
            if amsgrad:
                widest = np.maximum(inner(max_exp_avg_sqs[i], v.dtype), second)
                lists[4].append(outer(widest, v.dtype))
            root = np.add(np.sqrt(widest) / np.sqrt(_correction(beta2, t, x)), eps)
            x = np.add(x, minus(first / root * (rate / _correction(beta1, t, x))))
            lists[0].append(outer(x, p.dtype))
            lists[2].append(outer(first, m.dtype))
            lists[3].append(outer(second, v.dtype))
        return lists

    return step


rule("_fused_adam")(_adam(decoupled=False))
rule("_fused_adamw")(_adam(decoupled=True))


@rule("_fused_sgd")
def sgd(
    params: Any, grads: Any, momentum_buffer_list: Any, *, weight_decay: float, momentum: float,
    lr: Any, dampening: float, nesterov: bool, maximize: bool, is_first_step: bool,
    grad_scale: Any = None, found_inf: Any = None,
) -> Any:  # fmt: skip
    """b = momentum b + (1 - dampening) g       p = p - lr b, or with g + momentum b"""
    if _skipped(found_inf):
        return [list(params), list(grads), list(momentum_buffer_list)]
    rate, new_params, new_grads, buffers = _number(lr), [], [], []
    for i, (p, grad) in enumerate(zip(params, grads, strict=True)):
        x, g = inner(p, p.dtype), _gradient(grad, grad_scale)
        new_grads.append(grad if grad_scale is None else outer(g, grad.dtype))
        g = _with_decay(g, x, maximize, weight_decay)
        if momentum:
            buffer = momentum_buffer_list[i]
            b = g
            if not is_first_step:
                b = np.add(inner(buffer, buffer.dtype) * momentum, g * (1 - dampening))
            buffers.append(outer(b, buffer.dtype))
            g = np.add(g, b * momentum) if nesterov else b
        new_params.append(outer(np.add(x, minus(g * rate)), p.dtype))
    return [new_params, new_grads, buffers or list(momentum_buffer_list)]


@rule("_fused_adagrad")
def adagrad(
    params: Any, grads: Any, state_sums: Any, state_steps: Any, *, lr: Any, lr_decay: float,
    weight_decay: float, eps: float, maximize: bool, grad_scale: Any = None, found_inf: Any = None,
) -> Any:  # fmt: skip
    """s = s + g^2       p = p - lr / (1 + (t - 1) decay) g / (sqrt(s) + eps)"""
    if _skipped(found_inf):
        return [list(params), list(grads), list(state_sums), list(state_steps)]
    new_params, new_grads, new_sums = [], [], []
    for p, grad, s, t in zip(params, grads, state_sums, state_steps, strict=True):
        x, g = inner(p, p.dtype), _gradient(grad, grad_scale)
        new_grads.append(grad if grad_scale is None else outer(g, grad.dtype))
        g = _with_decay(g, x, maximize, weight_decay)
        total = np.add(inner(s, s.dtype), g * g)
        rate = _number(lr) / (1 + (_number(t) - 1) * lr_decay)
        step = g / np.add(np.sqrt(total), eps) * rate
        new_params.append(outer(np.add(x, minus(step)), p.dtype))
        new_sums.append(outer(total, s.dtype))
    return [new_params, new_grads, new_sums, list(state_steps)]


@rule("_fused_adagrad.tensor_lr")
def adagrad_of_tensor(*args: Any, **options: Any) -> Any:
    """The same, which says that it leaves the steps alone"""
    return adagrad(*args, **options)[:3]
