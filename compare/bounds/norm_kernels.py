"""Norms as torch's kernels compute them, folded into one scale and one shift: second formulas of
the register's rows.

input * scale + (bias - mean * scale) rounds at the size of mean * scale, which is far above that of
the result where the mean is far above the deviation.
"""

from typing import Any

import numpy as np

Axes = tuple[int, ...]


def _statistics(x: Any, axes: Axes, eps: float) -> tuple[Any, Any]:
    """The mean, and 1 / sqrt(var + eps), with axes of length 1."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    return mean, 1 / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + eps)


def _normalized_backward(dxhat: Any, x: Any, axes: Axes, eps: float) -> tuple[Any, Any]:
    """dxhat r + x b + c, and xhat as x r - mean r, with r = 1 / sqrt(var + eps) and

    b = (sum(dxhat) mean - sum(dxhat x)) r^3 / n;  c = -b mean - sum(dxhat) r / n
    """
    mean, r = _statistics(x, axes, eps)
    n = int(np.prod([x.shape[axis] for axis in axes]))
    total = dxhat.sum(axis=axes, keepdims=True)
    along = (dxhat * x).sum(axis=axes, keepdims=True)
    b = (total * mean - along) * r * r * r / n
    c = -b * mean - total * r / n
    return dxhat * r + x * b + c, x * r - mean * r


def layer_norm(input: Any, weight: Any, bias: Any, *, eps: float = 1e-5) -> Any:  # noqa: A002
    """(input r - mean r) weight + bias"""
    mean, r = _statistics(input, tuple(range(-weight.ndim, 0)), eps)
    return (input * r - mean * r) * weight + bias


def layer_norm_backward(dout: Any, input: Any, weight: Any, *, eps: float = 1e-5) -> Any:  # noqa: A002
    """See _normalized_backward."""
    axes = tuple(range(-weight.ndim, 0))
    others = tuple(range(input.ndim - weight.ndim))
    dinput, xhat = _normalized_backward(dout * weight, input, axes, eps)
    return dinput, (dout * xhat).sum(axis=others), dout.sum(axis=others)


def group_norm(
    input: Any,  # noqa: A002
    weight: Any,
    bias: Any,
    *,
    num_groups: int,
    eps: float = 1e-5,
) -> Any:
    """input scale + (bias - mean scale),  scale = weight r"""
    x = _grouped(input, num_groups)
    w, b = (p.reshape(num_groups, -1, 1) for p in (weight, bias))
    mean, r = _statistics(x, (2, 3), eps)
    scale = w * r
    return (x * scale + (b - mean * scale)).reshape(input.shape)


def group_norm_backward(
    dout: Any,
    input: Any,  # noqa: A002
    weight: Any,
    *,
    num_groups: int,
    eps: float = 1e-5,
) -> Any:
    """See _normalized_backward; dweight = sum (sum(dout input) - sum(dout) mean) r"""
    x, d = _grouped(input, num_groups), _grouped(dout, num_groups)
    dinput, _ = _normalized_backward(d * weight.reshape(num_groups, -1, 1), x, (2, 3), eps)
    mean, r = _statistics(x, (2, 3), eps)
    along, total = (a.sum(axis=3, keepdims=True) for a in (d * x, d))
    dweight = ((along - total * mean) * r).sum(axis=0).reshape(-1)
    return dinput.reshape(input.shape), dweight, total.sum(axis=0).reshape(-1)


def _grouped(x: Any, num_groups: int) -> Any:
    """[m, c, ...] -> [m, groups, c / groups, places]"""
    return x.reshape(x.shape[0], num_groups, x.shape[1] // num_groups, -1)


def batch_norm(
    input: Any,  # noqa: A002
    running_mean: Any,
    running_var: Any,
    weight: Any,
    bias: Any,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """input scale + (bias - mean scale),  scale = weight r"""
    from torch_parity import manual

    _, updated_mean, updated_var = manual.batch_norm(
        input, running_mean, running_var, weight, bias,
        training=training, momentum=momentum, eps=eps,
    )  # fmt: skip
    one = (1, -1, *(1,) * (input.ndim - 2))
    axes = (0, *range(2, input.ndim))
    if training:
        mean, r = _statistics(input, axes, eps)
    else:
        mean, r = running_mean.reshape(one), 1 / np.sqrt(running_var.reshape(one) + eps)
    scale = weight.reshape(one) * r
    return input * scale + (bias.reshape(one) - mean * scale), updated_mean, updated_var
