"""Heads of attention: vectors cut into parts that attend each by itself, and joined again."""

import numpy as np

from torch_parity.manual.ops.linear import linear_backward_parameters


def split_heads(x: np.ndarray, num_heads: int) -> np.ndarray:
    """[m, t, n] -> [m, heads, t, n / heads]"""
    m, t, n = x.shape
    return x.reshape(m, t, num_heads, n // num_heads).transpose(0, 2, 1, 3)


def merge_heads(x: np.ndarray) -> np.ndarray:
    """[m, heads, t, n / heads] -> [m, t, n]"""
    m, num_heads, t, n = x.shape
    return x.transpose(0, 2, 1, 3).reshape(m, t, num_heads * n)


def projected_heads(
    inputs: tuple[np.ndarray, ...], weight: np.ndarray, bias: np.ndarray, num_heads: int
) -> list[np.ndarray]:
    """Queries, keys and values of each head, x @ W.T + b       # 3 of [m, heads, t, n / heads]

    The rows of weight and bias are those of the queries, then of the keys, then of the values.
    """
    n = inputs[0].shape[-1]
    rows = [slice(i * n, (i + 1) * n) for i in range(3)]
    projected = (x @ weight[r].T + bias[r] for x, r in zip(inputs, rows, strict=True))
    return [split_heads(x, num_heads) for x in projected]


def projected_heads_backward(
    dheads: tuple[np.ndarray, ...], inputs: tuple[np.ndarray, ...], weight: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The gradients of the three inputs, of weight and of bias"""
    n = inputs[0].shape[-1]
    dprojected = [merge_heads(d) for d in dheads]
    weights = (weight[i * n : (i + 1) * n] for i in range(3))
    dinputs = [d @ W for d, W in zip(dprojected, weights, strict=True)]
    made = [linear_backward_parameters(d, x) for d, x in zip(dprojected, inputs, strict=True)]
    return (*dinputs, *(np.concatenate(parts) for parts in zip(*made, strict=True)))


def seen_keys(key_padding_mask: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """[m, s] of padding -> [m, 1, 1, s] of what is seen, for every head and query"""
    return [~padding[:, None, None, :] for padding in key_padding_mask]
