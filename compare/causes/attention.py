"""Mistakes of attention: the scale, the softmax's axis, masks, heads, the way back."""

from collections.abc import Sequence
from typing import Any, Literal

from torch_parity.compare.causes.attending import (
    MHA,
    SDPA,
    Attention,
    called,
    in_backward,
    in_either,
    right,
    right_backward,
    scores_of,
    seen_by,
    transposed,
    triangle,
)
from torch_parity.compare.causes.cause import Cause

Masks = tuple[Sequence[Any], dict[str, Any]]
Hidden = Literal["added", "zeroed", "afterwards"]


def _unscaled(f: Any, q: Any, k: Any, masks: Sequence[Any], options: dict[str, Any]) -> Masks:
    return masks, {**options, "scale": 1.0}


def _by_width(f: Any, q: Any, k: Any, masks: Sequence[Any], options: dict[str, Any]) -> Masks:
    if options["scale"] is not None:
        raise ValueError("the scale is told, so no width gives it")
    return masks, {**options, "scale": 1 / q.shape[-1]}


def _sees_the_future(
    f: Any, q: Any, k: Any, masks: Sequence[Any], options: dict[str, Any]
) -> Masks:
    return masks, {**options, "is_causal": False}


def _shifted(diagonal: int) -> Attention:
    """A causal mask whose diagonal is another"""

    def change(f: Any, q: Any, k: Any, masks: Sequence[Any], options: dict[str, Any]) -> Masks:
        if not options["is_causal"]:
            raise ValueError("there is no causal mask to shift")
        seen = triangle(f, scores_of(f, q, k, 1.0), diagonal)
        both = [seen & mask for mask in masks] or [seen]
        return both, {**options, "is_causal": False}

    return called(change)


def _unmasked(f: Any, q: Any, k: Any, masks: Sequence[Any], options: dict[str, Any]) -> Masks:
    return (), options


def _inverted(f: Any, q: Any, k: Any, masks: Sequence[Any], options: dict[str, Any]) -> Masks:
    return [~mask for mask in masks], options


def _hidden(how: Hidden) -> Attention:
    """What a query may not see, hidden in another way than by -inf"""

    def weights(f: Any, q: Any, k: Any, masks: Any, is_causal: bool, scale: Any) -> Any:
        scores = scores_of(f, q, k, scale)
        seen = seen_by(f, scores, masks, is_causal)
        if seen is None:
            raise ValueError("there is no mask")
        if how == "added":
            scores = scores + seen * (scores * 0 + 1)
        elif how == "zeroed":
            scores = f["where"](seen, scores, scores * 0)
        return scores, f["softmax"](scores, dim=-1), seen

    def attend(f: Any, q: Any, k: Any, v: Any, *masks: Any, is_causal: bool, scale: Any) -> Any:
        _, a, seen = weights(f, q, k, masks, is_causal, scale)
        return f["matmul"](a * seen if how == "afterwards" else a, v)

    def backward(
        f: Any, dout: Any, q: Any, k: Any, v: Any, *masks: Any, is_causal: bool, scale: Any
    ) -> Any:
        scores, a, seen = weights(f, q, k, masks, is_causal, scale)
        da = f["matmul"](dout, transposed(f, v))
        if how == "afterwards":
            a, da = a * seen, da * seen
        ds = f["softmax_backward"](da, scores, dim=-1)
        if how == "zeroed":
            ds = ds * seen
        return _from_scores(f, ds, q, k, scale, f["matmul"](transposed(f, a), dout))

    return Attention(attend, backward)


def _from_scores(f: Any, ds: Any, q: Any, k: Any, scale: Any, dv: Any) -> tuple[Any, Any, Any]:
    """dq and dk from the gradient of the scaled scores, and dv"""
    ds = ds * (q.shape[-1] ** -0.5 if scale is None else scale)
    return f["matmul"](ds, k), f["matmul"](transposed(f, ds), q), dv


def _masked(f: Any, q: Any, k: Any, masks: Any, is_causal: bool, scale: Any) -> Any:
    scores = scores_of(f, q, k, scale)
    seen = seen_by(f, scores, masks, is_causal)
    return scores if seen is None else f["where"](seen, scores, float("-inf"))


def _over_queries(f: Any, q: Any, k: Any, v: Any, *masks: Any, is_causal: bool, scale: Any) -> Any:
    """The weights of each key sum to 1"""
    scores = scores_of(f, q, k, scale)
    return f["matmul"](_weights_of_keys(f, scores, masks, is_causal), v)


def _over_queries_backward(
    f: Any, dout: Any, q: Any, k: Any, v: Any, *masks: Any, is_causal: bool, scale: Any
) -> Any:
    scores = scores_of(f, q, k, scale)
    a = _weights_of_keys(f, scores, masks, is_causal)
    da = f["matmul"](dout, transposed(f, v))
    ds = a * (da - f["sum"](da * a, dim=-2, keepdim=True))
    return _from_scores(f, ds, q, k, scale, f["matmul"](transposed(f, a), dout))


def _weights_of_keys(f: Any, scores: Any, masks: Any, is_causal: bool) -> Any:
    """A key that no query sees has no weights"""
    seen = seen_by(f, scores, masks, is_causal)
    if seen is None:
        return f["softmax"](scores, dim=-2)
    a = f["softmax"](f["where"](seen, scores, float("-inf")), dim=-2)
    return f["where"](seen, a, 0.0)


def _swapped(f: Any, q: Any, k: Any, v: Any, *masks: Any, **options: Any) -> Any:
    return right(f, k, q, v, *masks, **options)


def _swapped_backward(
    f: Any, dout: Any, q: Any, k: Any, v: Any, *masks: Any, **options: Any
) -> Any:
    dk, dq, dv = right_backward(f, dout, k, q, v, *masks, **options)
    return dq, dk, dv


def _without_sum(
    f: Any, dout: Any, q: Any, k: Any, v: Any, *masks: Any, is_causal: bool, scale: Any
) -> Any:
    """ds = a da"""
    a = f["softmax"](_masked(f, q, k, masks, is_causal, scale), dim=-1)
    ds = a * f["matmul"](dout, transposed(f, v))
    return _from_scores(f, ds, q, k, scale, f["matmul"](transposed(f, a), dout))


def _gradient_unscaled(
    f: Any, dout: Any, q: Any, k: Any, v: Any, *masks: Any, scale: Any, **options: Any
) -> Any:
    dq, dk, dv = right_backward(f, dout, q, k, v, *masks, scale=scale, **options)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    return dq / factor, dk / factor, dv


def _untransposed(of: Literal["key", "value"]) -> Attention:
    """ds @ q where ds.T @ q stands, or a @ dout where a.T @ dout does"""

    def backward(
        f: Any, dout: Any, q: Any, k: Any, v: Any, *masks: Any, is_causal: bool, scale: Any
    ) -> Any:
        given = {"is_causal": is_causal, "scale": scale}
        dq, dk, dv = right_backward(f, dout, q, k, v, *masks, **given)
        scores = _masked(f, q, k, masks, is_causal, scale)
        if of == "value":
            return dq, dk, f["matmul"](f["softmax"](scores, dim=-1), dout)
        ds = f["softmax_backward"](f["matmul"](dout, transposed(f, v)), scores, dim=-1)
        factor = q.shape[-1] ** -0.5 if scale is None else scale
        return dq, f["matmul"](ds * factor, q), dv

    return Attention(right, backward)


def _heads(**how: Any) -> Attention:
    return Attention(right, right_backward, **how)


def _keys_first(n: int, num_heads: int) -> list[int]:
    return [*range(n, 2 * n), *range(n), *range(2 * n, 3 * n)]


def _head_by_head(n: int, num_heads: int) -> list[int]:
    """The rows of a weight that holds q, k and v of the first head, then of the second..."""
    d = n // num_heads
    return [(3 * h + i) * d + j for i in range(3) for h in range(num_heads) for j in range(d)]


def _only_backward(formula: Any) -> Attention:
    return Attention(right, formula)


SWAPPED = Attention(_swapped, _swapped_backward)

CAUSES = (
    Cause(
        "attention_scale_missing",
        "The scores of attention are not multiplied by 1 / sqrt(d).",
        "scores = q @ k.mT / np.sqrt(d)",
        "F.scaled_dot_product_attention(q, k, v)  # by hand: q @ k.mT / math.sqrt(d)",
        in_either(called(_unscaled)),
    ),
    Cause(
        "attention_scale_by_width",
        "The scores of attention are divided by d instead of its root.",
        "scores = q @ k.mT / np.sqrt(d)",
        "F.scaled_dot_product_attention(q, k, v)  # scale=None is 1 / sqrt(d)",
        in_either(called(_by_width)),
    ),
    Cause(
        "attention_softmax_axis",
        "The softmax of attention is taken over the queries instead of the keys.",
        "a = softmax(scores, dim=-1)  # scores are [..., queries, keys]",
        "scores.softmax(dim=-1)",
        in_either(Attention(_over_queries, _over_queries_backward)),
    ),
    Cause(
        "causal_mask_missing",
        "Queries see the keys that come after them: the causal mask is missing.",
        "scores = np.where(np.tri(t, s, dtype=bool), scores, -np.inf)",
        "F.scaled_dot_product_attention(q, k, v, is_causal=True)",
        in_either(called(_sees_the_future)),
    ),
    Cause(
        "causal_mask_off_by_one",
        "The causal mask is off by one: a query sees the next key, or does not see its own.",
        "np.tri(t, s, dtype=bool)  # with the diagonal, and nothing above it",
        "torch.ones(t, s, dtype=torch.bool).tril()  # diagonal=0",
        (*in_either(_shifted(1)), *in_either(_shifted(-1))),
    ),
    Cause(
        "padding_attended",
        "The padding mask is left out, so padding is attended.",
        "scores = np.where(mask, scores, -np.inf)",
        "F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # or key_padding_mask=",
        in_either(called(_unmasked)),
    ),
    Cause(
        "attention_mask_inverted",
        "The mask means the opposite: what it should hide is attended, and the rest is hidden.",
        "attn_mask = ~key_padding_mask[:, None, None, :]  # True is seen here, padding there",
        "attn_mask = ~key_padding_mask[:, None, None, :]  # True is seen here, padding there",
        in_either(called(_inverted)),
    ),
    Cause(
        "attention_mask_not_minus_infinity",
        "A mask of 0 and 1 is added to the scores, or hidden scores become 0, where they have to "
        "be -inf.",
        "scores = np.where(mask, scores, -np.inf)  # not scores + mask, nor scores * mask",
        "scores.masked_fill(~mask, float('-inf'))",
        (*in_either(_hidden("added")), *in_either(_hidden("zeroed"))),
    ),
    Cause(
        "attention_mask_after_softmax",
        "The mask is multiplied with the weights after the softmax, so they sum to less than 1.",
        "a = softmax(np.where(mask, scores, -np.inf), dim=-1)",
        "scores.masked_fill(~mask, float('-inf')).softmax(dim=-1)",
        in_either(_hidden("afterwards")),
    ),
    Cause(
        "query_and_key_swapped",
        "Queries and keys are swapped.",
        "scores = q @ k.mT  # row i holds the scores of query i",
        "F.scaled_dot_product_attention(q, k, v)  # and in_proj_weight is cat([W_q, W_k, W_v])",
        (*in_either(SWAPPED, SDPA), *in_either(_heads(order=_keys_first), MHA)),
    ),
    Cause(
        "projections_head_by_head",
        "The rows of the projections are read head by head (q, k, v of the first head, then of the "
        "second), where they are all queries, then all keys, then all values.",
        "q, k, v = np.split(x @ W.T + b, 3, axis=-1)  # and then into heads",
        "q, k, v = in_proj(x).chunk(3, dim=-1)  # and then into heads",
        in_either(_heads(order=_head_by_head), MHA),
    ),
    Cause(
        "heads_reshaped",
        "Heads are cut, or put together, by a reshape alone: it mixes places and heads.",
        "x.reshape(m, t, heads, d).transpose(0, 2, 1, 3)  # not x.reshape(m, heads, t, d)",
        "x.view(m, t, heads, d).transpose(1, 2)  # not x.view(m, heads, t, d)",
        (*in_either(_heads(split="reshaped"), MHA), *in_either(_heads(merge="reshaped"), MHA)),
    ),
    Cause(
        "attention_gradient_without_sum",
        "The softmax's part of attention's backward leaves out the sum: ds = a da.",
        "ds = a * (da - (da * a).sum(axis=-1, keepdims=True))",
        "F.scaled_dot_product_attention(q, k, v)  # and leave its gradient to autograd",
        (in_backward(_only_backward(_without_sum)),),
    ),
    Cause(
        "attention_gradient_without_scale",
        "The backward of attention forgets the scale, which its forward has.",
        "dq = ds @ k / np.sqrt(d);  dk = ds.mT @ q / np.sqrt(d)",
        "F.scaled_dot_product_attention(q, k, v)  # and leave its gradient to autograd",
        (in_backward(_only_backward(_gradient_unscaled)),),
    ),
    Cause(
        "attention_gradient_not_transposed",
        "The gradient of the keys or of the values takes the weights as they are, not transposed.",
        "dv = a.mT @ dout;  dk = ds.mT @ q",
        "F.scaled_dot_product_attention(q, k, v)  # and leave its gradient to autograd",
        tuple(in_backward(_untransposed(of)) for of in ("key", "value")),
    ),
)
