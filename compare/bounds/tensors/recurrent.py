"""The fused LSTM layer of oneDNN, forward and backward."""

from typing import Any

import torch

from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import inner_type, lifted, tensor_of
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import judged_by
from torch_parity.compare.bounds.tensors.unbounded import Unbounded, Undetermined

LSTM = 2  # of torch's numbers for the kinds of cells


def lstm(
    x: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, h: Any, c: Any, *,
    reverse: bool, kept: torch.dtype,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """i, f, g, o = x W_in^T + h W_hidden^T + b, step by step:

    c = sigmoid(f) c + sigmoid(i) tanh(g)       h = sigmoid(o) tanh(c)

    h is kept in the type of the layer, which may be a half. Without biases they are None.
    """
    h, c = h.reshape(h.shape[-2:]), c.reshape(c.shape[-2:])
    made = []
    steps = range(x.shape[0])
    for t in reversed(steps) if reverse else steps:
        hidden = torch.mm(h, w_hidden.t())
        if b_in is None:
            gates = torch.mm(x[t], w_in.t()) + hidden
        else:
            gates = torch.addmm(b_in + b_hidden, x[t], w_in.t()) + hidden
        i, f, g, o = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = (torch.sigmoid(o) * torch.tanh(c)).to(kept).to(c.dtype)
        made.append(h)
    return torch.stack(made[::-1] if reverse else made), h, c


def _require_lstm(mode: int, batch_sizes: Any) -> None:
    if mode != LSTM:
        raise Unbounded("aten::mkldnn_rnn_layer of other cells than LSTM's")
    if len(batch_sizes):
        raise Unbounded("aten::mkldnn_rnn_layer of packed sequences")


@rule("mkldnn_rnn_layer")
def layer(
    x: Any, weight0: Any, weight1: Any, weight2: Any, weight3: Any, hx_: Any, cx_: Any,
    reverse: bool, batch_sizes: Any, mode: int, hidden_size: int, num_layers: int,
    has_biases: bool, bidirectional: bool, batch_first: bool, train: bool,
) -> Any:  # fmt: skip
    """All hidden states, the last one, the last cell, and a workspace"""
    _require_lstm(mode, batch_sizes)
    dtype = x.dtype
    given: list[Any] = [_raised(z) for z in (x, weight0, weight1, weight2, weight3, hx_, cx_)]
    if not has_biases:
        given[3:5] = None, None
    with judged_by(alone=False):
        y, h, c = lstm(*given, reverse=reverse, kept=dtype)
        found = [y.to(dtype), h.reshape(hx_.shape).to(dtype), c.reshape(cx_.shape)]
    return *found[:2], found[2].to(cx_.dtype), Undetermined()


def _raised(x: Any) -> Any:
    """In the type that is computed in, apart from any graph."""
    inner = inner_type(x.dtype)
    return tensor_of(lifted(x, inner), inner)


@rule("mkldnn_rnn_layer_backward")
def layer_backward(
    x: Any, weight1: Any, weight2: Any, weight3: Any, weight4: Any, hx_: Any, cx_tmp: Any,
    output: Any, hy_: Any, cy_: Any, grad_output: Any, grad_hy: Any, grad_cy: Any, reverse: bool,
    mode: int, hidden_size: int, num_layers: int, has_biases: bool, train: bool,
    bidirectional: bool, batch_sizes: Any, batch_first: bool, workspace: Any,
) -> Any:  # fmt: skip
    """No derivative is written down: the forward formula, differentiated on bounded numbers"""
    _require_lstm(mode, batch_sizes)
    given = (x, weight1, weight2, weight3, weight4, hx_, cx_tmp)
    with judged_by(alone=False), torch.enable_grad():
        leaves: list[Any] = [_raised(z).requires_grad_() for z in given]
        used = leaves if has_biases else [*leaves[:3], None, None, *leaves[5:]]
        y, h, c = lstm(*used, reverse=reverse, kept=x.dtype)
        made = [y, h.reshape(hx_.shape), c.reshape(cx_tmp.shape)]
        pairs = [
            (out, grad) for out, grad in zip(made, (grad_output, grad_hy, grad_cy), strict=True)
            if grad is not None
        ]  # fmt: skip
        grads: Any = torch.autograd.grad(
            [out for out, _ in pairs], leaves, [_raised(g) for _, g in pairs], allow_unused=True
        )
        found = [
            Undetermined() if g is None else BoundedTensor(g.bounded, g.dtype).to(z.dtype)
            for g, z in zip(grads, given, strict=True)
        ]
    return tuple(found)
