"""Mistakes of additive attention."""

from typing import Any

from torch_parity.compare.causes.attending import transposed
from torch_parity.compare.causes.cause import Cause, by, on, one


def _hidden_units(f: Any, q: Any, k: Any, W_q: Any, W_k: Any) -> Any:
    """W_q q + W_k k                                             # [m, t, s, h]"""
    of_q, of_k = f["matmul"](q, transposed(f, W_q)), f["matmul"](k, transposed(f, W_k))
    return of_q[:, :, None, :] + of_k[:, None, :, :]


def _linear(f: Any, q: Any, k: Any, v: Any, W_q: Any, W_k: Any, w: Any) -> Any:
    scores = f["matmul"](_hidden_units(f, q, k, W_q, W_k), w)
    return f["matmul"](f["softmax"](scores, dim=-1), v)


def _over_queries(f: Any, q: Any, k: Any, v: Any, W_q: Any, W_k: Any, w: Any) -> Any:
    scores = f["matmul"](f["tanh"](_hidden_units(f, q, k, W_q, W_k)), w)
    return f["matmul"](f["softmax"](scores, dim=-2), v)


def _without_slope(f: Any, dout: Any, q: Any, k: Any, v: Any, W_q: Any, W_k: Any, w: Any) -> Any:
    """du = ds w, as if tanh were the identity; what does not pass it stays right"""
    _, _, dv, _, _, dw = f["additive_attention_backward"](dout, q, k, v, W_q, W_k, w)
    scores = f["matmul"](f["tanh"](_hidden_units(f, q, k, W_q, W_k)), w)
    ds = f["softmax_backward"](f["matmul"](dout, transposed(f, v)), scores, dim=-1)
    du = ds[..., None] * w
    of_q, of_k = f["sum"](du, dim=2, keepdim=False), f["sum"](du, dim=1, keepdim=False)
    dW = (_parameters(f, d, x) for d, x in ((of_q, q), (of_k, k)))
    return f["matmul"](of_q, W_q), f["matmul"](of_k, W_k), dv, *dW, dw


def _parameters(f: Any, d: Any, x: Any) -> Any:
    rows, of = (f["reshape"](a, shape=(-1, a.shape[-1])) for a in (d, x))
    return f["matmul"](transposed(f, rows), of)


CAUSES = (
    Cause(
        "additive_scores_linear",
        "The scores of additive attention have no tanh, so the weights do not depend on the query.",
        "scores = np.tanh(W_q q + W_k k) @ w",
        "torch.tanh(W_q(q) + W_k(k)) @ w",
        (one(by(_linear), on("additive_attention")),),
    ),
    Cause(
        "additive_softmax_axis",
        "The softmax of additive attention is taken over the queries instead of the keys.",
        "a = softmax(scores, dim=-1)  # scores are [m, queries, keys]",
        "scores.softmax(dim=-1)",
        (one(by(_over_queries), on("additive_attention")),),
    ),
    Cause(
        "additive_gradient_without_slope",
        "The backward of additive attention leaves out the slope of tanh.",
        "du = ds[..., None] * w * (1 - h * h)",
        "torch.tanh(W_q(q) + W_k(k)) @ w  # and leave its gradient to autograd",
        (one(by(_without_slope), on("additive_attention_backward")),),
    ),
)
