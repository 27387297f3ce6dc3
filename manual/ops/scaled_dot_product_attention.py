"""Attention: each query takes a mean of the values, with weights that say how well its key fits.

Queries and keys of d independent numbers of variance 1 have products of variance d. The scale
1 / sqrt(d) brings that back to 1, so that the softmax does not begin with one weight of almost 1.

Source: Vaswani et al. 2017, equation 1; torch.nn.functional.scaled_dot_product_attention.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def scaled_dot_product_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    *attn_mask: np.ndarray,
    is_causal: bool = False,
    scale: float | None = None,
) -> np.ndarray:
    """out = softmax(query @ key.T * scale) @ value   # [..., t, d], [..., s, d], [..., s, n] ->
                                                      # [..., t, n]

    scale is 1 / sqrt(d) unless told otherwise. attn_mask is none, or one of booleans that
    broadcasts to [..., t, s]: True where a query may see a key. is_causal: query i sees the keys
    0...i alone. A query that sees no key takes 0.

    Raises:
        ValueError: there are several masks, or one that is not of booleans.
    """
    return _weights(query, key, attn_mask, is_causal, _scale(query, scale)) @ value


def scaled_dot_product_attention_backward(
    dout: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    *attn_mask: np.ndarray,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """With a the weights:  dvalue = a.T @ dout;  da = dout @ value.T

    ds = a (da - sum_s da a);  dquery = ds @ key * scale;  dkey = ds.T @ query * scale
    """
    factor = _scale(query, scale)
    a = _weights(query, key, attn_mask, is_causal, factor)
    ds = dout @ value.mT  # first da, then in place
    ds -= (ds * a).sum(axis=-1, keepdims=True)
    ds *= a
    return (ds @ key) * factor, ds.mT @ (query * factor), a.mT @ dout


def _scale(query: np.ndarray, scale: float | None) -> float:
    return query.shape[-1] ** -0.5 if scale is None else scale


def _weights(
    query: np.ndarray,
    key: np.ndarray,
    attn_mask: tuple[np.ndarray, ...],
    is_causal: bool,
    scale: float,
) -> np.ndarray:
    """softmax(query @ key.T * scale), and 0 for what a query may not see    # [..., t, s]"""
    scores = (query * scale) @ key.mT
    for mask in _masks(attn_mask, is_causal, *scores.shape[-2:]):
        scores = np.where(mask, scores, -np.inf)
    most = scores.real.max(axis=-1, keepdims=True)
    scores -= np.where(most == -np.inf, 0.0, most)
    e = np.exp(scores)
    total = e.sum(axis=-1, keepdims=True)
    e /= np.where(total == 0, 1.0, total)
    return e


def _masks(
    attn_mask: tuple[np.ndarray, ...], is_causal: bool, queries: int, keys: int
) -> tuple[np.ndarray, ...]:
    """The masks there are; True where a query may see a key."""
    if len(attn_mask) > 1 or any(mask.dtype != bool for mask in attn_mask):
        found = " and ".join(str(mask.dtype) for mask in attn_mask)
        raise ValueError(
            f"scaled_dot_product_attention: attn_mask is {found}, expected none or one of bool, "
            "True where a query may see a key"
        )
    return (*attn_mask, np.tri(queries, keys) == 1) if is_causal else attn_mask
