"""Mistakes in the backward of elementary operations: broadcasting, means, ties, orders of axes."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from torch_parity.compare.causes.cause import Cause, Change, Evidence, Where, by, on, one
from torch_parity.compare.flow.nodes import Node

How = Literal["not at all", "averaged", "the first alone"]


def _repeats(*operations: str, axes: slice) -> Where:
    """These backwards, where an operand was repeated along some of these axes."""

    def where(node: Node, e: Evidence) -> bool:
        if not on(*operations)(node, e) or not all(name in e.known for name in node.inputs):
            return False
        dout, *operands = (e.known[name].shape for name in node.inputs)
        return any(shape[axes] != dout[axes] for shape in operands)

    return where


ENTRYWISE = _repeats(
    "add_backward", "sub_backward", "mul_backward", "div_backward", axes=slice(None)
)
PRODUCT = _repeats("matmul_backward", axes=slice(-2))  # of a batch of matrices


def _summed(gradient: Any, shape: tuple[int, ...], how: How) -> Any:
    """The gradient of an operand of this shape, as a mistake takes it from that of its copies."""
    new = gradient.ndim - len(shape)
    repeated = (i for i, n in enumerate(shape, new) if n == 1 and gradient.shape[i] != 1)
    axes = (*range(new), *repeated)
    if not axes or how == "not at all":
        return gradient
    if how == "averaged":
        return gradient.mean(axis=axes).reshape(shape)
    first = tuple(0 if i in axes else slice(None) for i in range(gradient.ndim))
    return gradient[first].reshape(shape)


def _of_copies(operation: str, how: How) -> Callable[..., Any]:
    """The backward of the operands, each copied to the size that it is broadcast to, then
    _summed."""

    def formula(f: Any, dout: Any, *operands: Any) -> Any:
        zeros = (dout * 0, dout * 0)
        if operation == "matmul_backward":
            zeros = (dout[..., :1] * 0, dout[..., :1, :] * 0)
        copies = (x + z for x, z in zip(operands, zeros, strict=True))
        gradients = f[operation](dout, *copies)
        pairs = zip(gradients, operands, strict=True)
        return tuple(_summed(g, tuple(x.shape), how) for g, x in pairs)

    return formula


def _copied(how: How) -> Change:
    return lambda node, e: by(_of_copies(node.operation, how))(node, e)


def _ties(f: Any, dout: Any, x: Any, *, dim: Any, keepdim: bool) -> tuple[Any, Any]:
    """dout with axes of length 1 for those that are gone, and where x is the largest."""
    largest = f["amax"](x, dim=dim, keepdim=True)
    return dout.reshape(tuple(largest.shape)), x == largest


def _to_all(f: Any, dout: Any, x: Any, **options: Any) -> Any:
    kept, largest = _ties(f, dout, x, **options)
    return kept * largest


def _to_the_first(f: Any, dout: Any, x: Any, **options: Any) -> Any:
    kept, largest = _ties(f, dout, x, **options)
    reduced = [i for i, n in enumerate(kept.shape) if n == 1]
    free, dinput = kept * 0 + 1, x * 0
    for index in np.ndindex(*(x.shape[i] for i in reduced)):
        at: list[Any] = [slice(None)] * x.ndim
        for axis, i in zip(reduced, index, strict=True):
            at[axis] = slice(i, i + 1)
        share = free * largest[tuple(at)]
        dinput[tuple(at)] = kept * share
        free = free - share
    return dinput


def _kept_one(f: Any, dout: Any, x: Any, index: Any, *, dim: int) -> Any:
    """dinput[index] = dout, and what NumPy's += does as well: the last of several writes stays."""
    dinput, before = x * 0, (slice(None),) * (dim % x.ndim)
    for k in range(index.shape[0]):
        dinput[(*before, int(index[k]))] = dout[(*before, k)]
    return dinput


def _kept_symbol(f: Any, dout: Any, symbols: Any, weight: Any, *, padding_idx: int | None) -> Any:
    """_kept_one of a table's rows, as an embedding reads them."""
    rows = dout.reshape((-1, dout.shape[-1]))
    dweight = _kept_one(f, rows, weight, symbols.reshape(-1), dim=0)
    if padding_idx is not None:
        dweight[padding_idx] = dweight[padding_idx] * 0
    return dweight


def _put_back(dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort([dim % len(dims) for dim in dims]))


def _reshaped(f: Any, x: Any, *, dims: tuple[int, ...]) -> Any:
    return x.reshape(tuple(x.shape[dim] for dim in dims)) * 1


def _reshaped_back(f: Any, dout: Any, *, dims: tuple[int, ...]) -> Any:
    return _reshaped(f, dout, dims=_put_back(dims))


CAUSES = (
    Cause(
        "broadcast_gradient_not_summed",
        "The gradient of a broadcast operand is not the sum over the axes along which it was "
        "repeated.",
        "db = dout.sum(axis=0)  # of b in x + b: not dout, nor its mean, nor dout[0]",
        "dout.sum_to_size(b.shape)  # in a backward of your own",
        tuple(
            one(_copied(how), where)
            for where in (ENTRYWISE, PRODUCT)
            for how in ("not at all", "averaged", "the first alone")
        ),
    ),
    Cause(
        "mean_gradient_without_n",
        "The backward of a mean hands the whole gradient to each number, without 1/n.",
        "dx = np.broadcast_to(dout / n, x.shape)",
        "x.mean(dim)  # by hand: dout.expand_as(x) / n",
        (one(by(lambda f, *given, **o: f["sum_backward"](*given, **o)), on("mean_backward")),),
    ),
    Cause(
        "amax_ties",
        "Of several largest numbers each gets the whole gradient, or the first gets all of it.",
        "dx = dout * largest / largest.sum(axis, keepdims=True)  # equal numbers share it",
        "torch.amax(x, dim)  # torch.max(x, dim) hands all to one of them",
        (one(by(_to_all), on("amax_backward")), one(by(_to_the_first), on("amax_backward"))),
    ),
    Cause(
        "permutation_not_inverted",
        "The backward of a permutation permutes the axes once more instead of back.",
        "dx = dout.transpose(np.argsort(dims))",
        "dout.permute(tuple(np.argsort(dims)))  # in a backward of your own",
        (one(by(lambda f, d, *, dims: f["permute"](d, dims=dims)), on("permute_backward")),),
    ),
    Cause(
        "reshaped_not_permuted",
        "A tensor is reshaped where its axes are to be permuted: the shape is right, the order of "
        "the numbers is not.",
        "x.transpose(0, 2, 1)  # not x.reshape(m, n, t)",
        "x.permute(0, 2, 1)  # not x.view(m, n, t)",
        (one(by(_reshaped), on("permute")), one(by(_reshaped_back), on("permute_backward"))),
    ),
    Cause(
        "repeated_index_gradient_lost",
        "Where an index names an entry several times, only the last gradient is kept.",
        "np.add.at(dx, index, dout)  # dx[index] += dout keeps one",
        "dx.index_add_(0, index, dout)  # dx[index] += dout keeps one",
        (
            one(by(_kept_one), on("index_select_backward")),
            one(by(_kept_symbol), on("embedding_backward")),
        ),
    ),
)
