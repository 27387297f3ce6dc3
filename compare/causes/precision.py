"""Numbers of another precision than the case asks for: too few digits on the way, or too many."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.bounds.precision import LOWER, TF32, fits_into, precision
from torch_parity.compare.causes.cause import Cause, Change, Evidence, Where, one
from torch_parity.compare.causes.layers import BIAS_GRADIENT, BIASED, LINEAR, PARAMETERS
from torch_parity.compare.causes.optimizer import UPDATE
from torch_parity.compare.flow.nodes import Node


def _applies(node: Node, to: str, e: Evidence) -> bool:
    """Whether that is lower than what the case asks for."""
    return node.operation != "count" and precision(LOWER[to]).eps > e.eps


def _computed_in(to: str) -> Change:
    """The same operation in a lower precision; the record must look like it, number by number.

    Either its inputs and its results alone are rounded to it, or whatever it computes on the way.
    """

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        if not _applies(node, to, e):
            return []
        if e.rng is None and not all(_leads_to_its_digits(n, to, e) for n in node.outputs):
            return []
        return [
            _rounded_to(node, to, "cut", "cut"),
            _rounded_to(node, to, "cut", "lower"),
            _rounded_to(node, to, "lower", "lower"),
        ]

    return change


def _rounded_to(node: Node, to: str, inputs_by: str, results_by: str) -> Node:
    """What is cut is known exactly; what is lowered is rounded somehow, and all that follows from
    it is computed in the lower precision."""
    inner = _own_formula(node)

    def formula(f: Any, *inputs: Any, **options: Any) -> Any:
        result = inner(f, *(f[inputs_by](x, to) for x in inputs), **options)
        many = result if isinstance(result, tuple) else (result,)
        return tuple(f[results_by](r, to) for r in many)

    return replace(node, formula=formula)


def _leads_to_its_digits(name: str, to: str, e: Evidence) -> bool:
    """Whether a tensor has no more digits than that; of one that is not recorded, whether all that
    is made of it has."""
    if name in e.trace:
        return fits_into(e.trace[name], to)
    key = "digits", name, to
    if key not in e.memo:
        e.memo[key] = False  # what a step updates is read before it is made
        made = [n for reader in e.graph.readers(name) for n in reader.outputs]
        e.memo[key] = bool(made) and all(_leads_to_its_digits(n, to, e) for n in made)
    return bool(e.memo[key])


def _own_formula(node: Node) -> Callable[..., Any]:
    return node.formula or (lambda f, *inputs, **o: f[node.operation](*inputs, **o))


def _cast_on_the_way(node: Node, e: Evidence) -> Iterable[Node]:
    """One of the inputs has the digits of a lower precision, the result has all of its own."""
    planted_elsewhere = e.rng is not None and not LINEAR(node, e)
    if planted_elsewhere or e.wider.intersection(node.outputs):
        return
    for to in LOWER:
        if not _applies(node, to, e):
            continue
        for i, name in enumerate(node.inputs):
            held = e.judged[0].get(name) if e.rng is None else e.known.get(name)
            if held is None or held.dtype.kind != "f" or fits_into(held, to):
                continue
            if not fits_into(e.trace.get(node.outputs[0]), to):
                yield _cut(node, to, i)
        if PARAMETERS(node, e):
            yield from _cast_both_ways(node, to, e)


def _cast_both_ways(node: Node, to: str, e: Evidence) -> Iterable[Node]:
    """autograd takes the gradient back through the cast: dx of an x, dW of a W (which the first
    layer's backward does not read)."""
    for of, gradient in ((1, 0), (2, 1)) if len(node.inputs) == 3 else ((None, 0),):
        if fits_into(e.trace.get(node.outputs[gradient]), to):
            yield _cut(node, to, of, gradient)


def _products_in_tf32(node: Node, e: Evidence) -> Iterable[Node]:
    """Both factors cut to TF32; what is added to a product, or is a sum, keeps its digits."""
    if e.dtype != np.float32:
        return []
    return [_by_product(node, way, e) for way in TF32]


def _by_product(node: Node, way: str, e: Evidence) -> Node:
    own = _own_formula(node)

    def formula(f: Any, *inputs: Any, **options: Any) -> Any:
        factors = inputs[:2] if BIASED(node, e) else inputs
        cut = (f["cut"](a, way) for a in factors)
        made = own(f, *cut, *inputs[len(factors) :], **options)
        if BIAS_GRADIENT(node, e):
            return (*made[:-1], own(f, *inputs, **options)[-1])
        return made

    return replace(node, formula=formula)


def _cut(node: Node, to: str, which: int | None, lowered: int | None = None) -> Node:
    """With one input cut to a lower precision, and one result rounded to it."""
    own = _own_formula(node)

    def formula(f: Any, *inputs: Any, **options: Any) -> Any:
        cut = (f["cut"](x, to) if i == which else x for i, x in enumerate(inputs))
        result = own(f, *cut, **options)
        many = result if isinstance(result, tuple) else (result,)
        return tuple(f["lower"](r, to) if i == lowered else r for i, r in enumerate(many))

    return replace(node, formula=formula)


def _left_wider(node: Node, e: Evidence) -> Iterable[Node]:
    """Right, but for its type."""
    if e.rng is None:
        return [node] if e.wider.intersection(node.outputs) else []
    if not UPDATE(node, e) or e.dtype == np.float64:  # nothing is wider than that
        return []
    own = _own_formula(node)

    def formula(f: Any, *inputs: Any, **options: Any) -> Any:
        result = own(f, *inputs, **options)
        *memory, new = result if isinstance(result, tuple) else (result,)
        return (*memory, f["wider"](new))

    return [replace(node, formula=formula)]


_ANY: Where = lambda node, e: True  # noqa: E731
_PRODUCT: Where = lambda node, e: LINEAR(node, e) or PARAMETERS(node, e)  # noqa: E731

CAUSES = (
    Cause(
        "float32",
        "One side computes in float32 where the case asks for float64.",
        "x.astype(np.float64)",
        "net.double(); x.double()",
        (one(_computed_in("float32"), _ANY),),
    ),
    Cause(
        "bfloat16",
        "One side computes in bfloat16: three digits.",
        "x.astype(np.float64)",
        "with torch.autocast(device, enabled=False): ...",
        (one(_computed_in("bfloat16"), _ANY),),
    ),
    Cause(
        "float16",
        "One side computes in float16: four digits, and nothing beyond 65504.",
        "x.astype(np.float64)",
        "net.double(); x.double()  # not net.half(), nor autocast(dtype=torch.float16)",
        (one(_computed_in("float16"), _ANY),),
        yields_to="bfloat16",  # whose numbers float16 has as well, as far as it reaches
    ),
    Cause(
        "tf32",
        "The products are taken in TF32: of each factor 10 binary digits are left.",
        "z = x @ W.T + b  # in float32, all 23 of them",
        'torch.set_float32_matmul_precision("highest")  # not "high", nor allow_tf32 = True',
        (one(_products_in_tf32, _PRODUCT),),
        dtype="float32",
    ),
    Cause(
        "forgotten_cast",
        "One of the operation's inputs went through a lower precision on its way there.",
        "z = x @ W.T + b  # not W.astype(np.float16), a step before or in a file",
        "W.to(x.dtype)  # too late for the digits that W.half() has dropped",
        (one(_cast_on_the_way, _ANY),),
    ),
    Cause(
        "wider_precision",
        "One side leaves a tensor in a wider precision than the case asks for.",
        "W = W - np.float32(lr) * dW  # a float64 scalar or constant makes all of it float64",
        "p.to(dtype)  # float32 master weights and what autocast computes in float32 are cast back",
        (one(_left_wider, _ANY),),
        dtype="float32",
    ),
)
