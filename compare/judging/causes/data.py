"""Mistakes before the first operation: the wrong rows, or numbers of another precision."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from compare.judging.causes.cause import Cause, Change, Evidence, one
from compare.judging.flow import Node


def _is_input(node: Node) -> bool:
    return node.outputs == ("h0",)


def _other_rows(node: Node, e: Evidence) -> Iterable[Node]:
    x, h0 = e.known["x"], e.trace.get("h0")
    if e.rng is not None:
        rows = x[e.rng.permutation(len(x))]
    elif h0 is None or h0.shape != x.shape or not _same_rows(h0, x):
        return []
    else:
        rows = h0
    return [replace(node, formula=lambda f, given: f["like"](rows, given) + 0 * given)]


def _same_rows(a: np.ndarray, b: np.ndarray) -> bool:
    return sorted(map(tuple, a.tolist())) == sorted(map(tuple, b.tolist()))


def _rounded_to(precision: str) -> Change:
    """The same operation in a lower precision; the record must look like it, number by number."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        if node.operation == "count":
            return []
        if e.rng is None and not all(_looks_like(e.trace.get(n), precision) for n in node.outputs):
            return []

        inner = node.formula or (lambda f, *inputs, **o: f[node.operation](*inputs, **o))

        def formula(f: Any, *inputs: Any, **options: Any) -> Any:
            result = inner(f, *(f["lower"](x, precision) for x in inputs), **options)
            many = result if isinstance(result, tuple) else (result,)
            return tuple(f["lower"](r, precision) for r in many)

        return [replace(node, formula=formula)]

    return change


def _looks_like(made: np.ndarray | None, precision: str) -> bool:
    return made is not None and bool(np.array_equal(rounded(made, precision), made))


def rounded(array: np.ndarray, precision: str) -> np.ndarray:
    """The nearest numbers of a lower precision, in the array's own type."""
    single = array.astype(np.float32)
    if precision == "bfloat16":
        bits = single.view(np.uint32).astype(np.int64)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000  # half to even
        single = bits.astype(np.uint32).view(np.float32)
    return np.asarray(single.astype(array.dtype))


_ANY: Callable[[Node], bool] = lambda node: True  # noqa: E731

CAUSES = (
    Cause(
        "shuffled_rows",
        "The rows of the batch are in another order.",
        "x, y = x[order], y[order]  # one order for both sides",
        "torch.tensor(x[order])  # the batch that the other side gets",
        (one(_other_rows, _is_input),),
    ),
    Cause(
        "float32",
        "One side computes in float32 where the case asks for float64.",
        "x.astype(np.float64)",
        "net.double(); x.double()",
        (one(_rounded_to("float32"), _ANY),),
    ),
    Cause(
        "bfloat16",
        "One side computes in bfloat16: three digits.",
        "x.astype(np.float64)",
        "with torch.autocast(device, enabled=False): ...",
        (one(_rounded_to("bfloat16"), _ANY),),
    ),
)
