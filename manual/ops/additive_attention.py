"""Additive attention: a small network with one hidden layer says how well a key fits a query. It is
the attention of the first translators, where queries are the decoder's states.

Source: Bahdanau, Cho and Bengio 2014, section 3.1; course 5 week 3, "attention model".
"""

import numpy as np

from torch_parity.manual.ops.softmax import softmax, softmax_backward
from torch_parity.manual.ops.tanh import tanh, tanh_backward
from torch_parity.manual.recording import operation


@operation
def additive_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    query_weight: np.ndarray,
    key_weight: np.ndarray,
    score_weight: np.ndarray,
) -> np.ndarray:
    """out = softmax(scores) @ value,  scores_ts = score_weight . tanh(W_query q_t + W_key k_s)

    # [m, t, n_q], [m, s, n_k], [m, s, n], [h, n_q], [h, n_k], [h] -> [m, t, n]
    """
    h = tanh(_sums(query, key, query_weight, key_weight))
    return softmax(h @ score_weight, dim=-1) @ value


def additive_attention_backward(
    dout: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    query_weight: np.ndarray,
    key_weight: np.ndarray,
    score_weight: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """From the weights a = softmax(h . v), h = tanh(u), u_ts = W_query q_t + W_key k_s, back:

    dvalue = a.T @ dout;  da = dout @ value.T;  dv = sum_mts ds h;  du = ds v (1 - h^2)
    A query is read with every key, so dq sums du over s, and dk sums it over t.
    """
    u = _sums(query, key, query_weight, key_weight)
    h = tanh(u)
    scores = h @ score_weight
    a = softmax(scores, dim=-1)
    ds = softmax_backward(dout @ value.mT, scores, dim=-1)
    du = tanh_backward(ds[..., None] * score_weight, u)
    du_query, du_key = du.sum(axis=2), du.sum(axis=1)  # [m, t, h], [m, s, h]
    return (
        du_query @ query_weight,
        du_key @ key_weight,
        a.mT @ dout,
        _dweight(du_query, query),
        _dweight(du_key, key),
        (ds[..., None] * h).sum(axis=(0, 1, 2)),
    )


def _sums(
    query: np.ndarray, key: np.ndarray, query_weight: np.ndarray, key_weight: np.ndarray
) -> np.ndarray:
    """W_query q_t + W_key k_s, of every query with every key   # [m, t, s, h]"""
    return (query @ query_weight.T)[:, :, None, :] + (key @ key_weight.T)[:, None, :, :]


def _dweight(du: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dW = du.T @ x, over samples and places"""
    return du.reshape(-1, du.shape[-1]).T @ x.reshape(-1, x.shape[-1])
