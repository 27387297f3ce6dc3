"""Which rule computes an ATen call on bounded numbers.

In this order: a rule of this folder, a layout operation (positions.py), torch's own decomposition
into simpler calls, which arrive here again. In-place and out= overloads are computed by the
functional one, and their results are written.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from torch_parity.compare import torch_private
from torch_parity.compare.bounds.tensors import (  # noqa: F401 (each adds its rules)
    activations,
    attention,
    comparisons,
    constants,
    convolutions,
    ctc,
    distances,
    elementwise,
    embedding_bags,
    encoders,
    fractional_pools,
    interpolation,
    linear_systems,
    margins,
    matrix_factors,
    normalizations,
    optimizers,
    ordering,
    pools,
    products,
    recurrent,
    reductions,
    sampling,
    scatter,
    thresholds,
)
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import converted, lifted
from torch_parity.compare.bounds.tensors.foreach import for_each
from torch_parity.compare.bounds.tensors.positions import MOVES, moved, seen
from torch_parity.compare.bounds.tensors.registry import RULES
from torch_parity.compare.bounds.tensors.tiers import judged_by
from torch_parity.compare.bounds.tensors.unbounded import Unbounded, Undetermined

Handler = Callable[..., Any]

# Their schemas do not say that they write running statistics.
WRITES_UNSAID = {"aten::native_batch_norm": ["running_mean", "running_var"]}
UNINITIALISED = {
    "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided",
}  # fmt: skip
# Of torch's prims, those that have a rule.
PRIMITIVES = {"convert_element_type", "fma"}
# What changes a tensor's memory itself is not a computation.
NO_COMPUTATION = {"set", "resize", "resize_as", "record_stream", "rename"}


def called_by_torch(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A call that torch makes on bounded numbers: in a decomposition, in autograd, by hand."""
    written = written_names(func)
    if not written:
        with np.errstate(all="ignore"):
            result = handler_of(func)(*args, **kwargs)
        if is_undetermined(func) and len(torch_private.returns_of(func)) == 1:
            (result,) = tensors_in(result)
        return torch_private.mapped(_given, result)
    given = bound_arguments(func, args, kwargs)
    fresh, contents = computed(func, args, kwargs)
    targets = [t for name in written for t in tensors_in(given.get(name))]
    for target, content in zip(targets, contents, strict=True):
        write(func, target, content)
    if not torch_private.returns_of(func):
        return None
    returned = [_given(x) for x in fresh]
    aliased = len(torch_private.returns_of(func)) - torch_private.fresh_returns(func)
    returned += targets[:aliased]
    return returned[0] if len(torch_private.returns_of(func)) == 1 else tuple(returned)


def computed(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], list[Any]]:
    """The values that a call returns and does not write, and the new content of what it writes."""
    with np.errstate(all="ignore"):
        results = handler_of(func)(*args, **kwargs)
    fresh = torch_private.fresh_returns(func)
    if not written_names(func):
        return tensors_in(results), []
    flat = [x for x in torch_private.flattened(results) if x is None or _is_result(x)]
    return flat[:fresh], [x for x in flat[fresh:] if x is not None]


def _is_result(x: Any) -> bool:
    return isinstance(x, torch.Tensor | Undetermined)


def tensors_in(tree: Any) -> list[Any]:
    """The tensors among the leaves."""
    return [x for x in torch_private.flattened(tree) if _is_result(x)]


def write(func: Any, target: torch.Tensor, content: Any) -> None:
    """New content for a tensor that a call writes.

    Raises:
        Unbounded: it is a plain tensor of real numbers, which has no place for the bound.
    """
    if isinstance(content, Undetermined):
        raise Unbounded(f"{func} writes what its inputs do not determine")
    if isinstance(target, BoundedTensor):
        new = lifted(content, target.dtype)
        target.bounded.value[...] = new.value
        target.bounded.error[...] = new.error
    elif isinstance(content, BoundedTensor):
        raise Unbounded(f"{func} into a plain tensor would lose the rounding bound")
    else:
        target.copy_(content)


def as_type(content: Any, dtype: torch.dtype) -> Any:
    """New content in the type of what it is written into."""
    if isinstance(content, BoundedTensor) and dtype.is_floating_point:
        if content.dtype == dtype:
            return content
        return BoundedTensor(converted(content.bounded, content.dtype, dtype), dtype)
    return content


def bound_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name."""
    names = [a.name for a in torch_private.arguments_of(func)]
    return dict(zip(names, args, strict=False)) | kwargs


@cache
def written_names(func: Any) -> list[str]:
    """The arguments that a call writes."""
    unsaid = WRITES_UNSAID.get(torch_private.overload_name(func), [])
    return [*torch_private.written_names(func), *unsaid]


@cache
def base_name(func: Any) -> str:
    """add, of aten::add_.Tensor"""
    name = torch_private.overload_name(func).split("::")[1].split(".")[0]
    in_place = name.endswith("_") and not name.endswith("__")
    return name[:-1] if in_place else name


@cache
def handler_of(func: Any) -> Handler:
    """What computes this overload, without writing anything."""
    written = torch_private.written_names(func)
    outs = [a.name for a in torch_private.arguments_of(func) if a.name in written and a.kwarg_only]
    found = _rule_of(func)
    if found is None:
        return _without(func)
    if not outs:
        return found
    return lambda *args, **kwargs: found(
        *args, **{name: x for name, x in kwargs.items() if name not in outs}
    )


def _rule_of(func: Any) -> Handler | None:
    name, functional = base_name(func), functional_of(func)
    if torch_private.overload_name(func).startswith("prims::"):
        return _primitive(func, name)
    full = f"{name}.{torch_private.overload_name(functional).partition('.')[2] or 'default'}"
    if full in RULES:
        return RULES[full]
    if name in RULES:
        return RULES[name]
    if is_undetermined(func):
        return lambda *args, **kwargs: _undetermined(func, *args, **kwargs)
    if name in NO_COMPUTATION:
        return None
    if torch_private.is_view(functional):
        return seen(functional)
    if full in MOVES or name in MOVES:
        return moved(functional)
    if name.startswith("_foreach_"):
        return for_each(func, name.removeprefix("_foreach_"), _called_by_name)
    found = torch_private.decomposition_of(functional)
    return None if found is None else _decomposed(found)


def _primitive(func: Any, name: str) -> Handler | None:
    """Of torch's prims: the function of tensors that it stands for, unless it is made of it."""
    if name in PRIMITIVES:
        return RULES[name]
    found = torch_private.decomposition_of(func)
    if found is None:
        return None
    stands_for = found
    within: list[Any] = []

    def handler(*args: Any, **kwargs: Any) -> Any:
        if within:
            raise Unbounded(f"{torch_private.overload_name(func)} has no rounding bound")
        within.append(func)
        try:
            return stands_for(*args, **kwargs)
        finally:
            within.pop()

    return _decomposed(handler)


def is_undetermined(func: Any) -> bool:
    """It draws random numbers, or reads memory that nothing was written into."""
    return base_name(func) in UNINITIALISED or torch_private.is_random(func)


def _undetermined(func: Any, *args: Any, **kwargs: Any) -> Any:
    """As many as the call returns and writes tensors."""
    given = bound_arguments(func, args, kwargs)
    written = sum(len(tensors_in(given.get(name))) for name in written_names(func))
    return [Undetermined() for _ in range(torch_private.fresh_returns(func) + written)]


def _called_by_name(name: str, *args: Any, **kwargs: Any) -> Any:
    """A rule of another function, or torch's decomposition of it."""
    if name in RULES:
        return RULES[name](*args, **kwargs)
    with judged_by(alone=False):
        return getattr(torch.ops.aten, name)(*args, **kwargs)


def _decomposed(decomposition: Handler) -> Handler:
    def handler(*args: Any, **kwargs: Any) -> Any:
        with judged_by(alone=False):
            return decomposition(*args, **kwargs)

    return handler


def functional_of(func: Any) -> Any:
    """The overload that computes the same and writes nothing; itself if there is none."""
    written = torch_private.written_names(func)
    if not written:
        return func
    wanted = [
        (a.name, str(a.type))
        for a in torch_private.arguments_of(func)
        if not (a.name in written and a.kwarg_only)
    ]
    candidates = torch_private.overloads_of(func, base_name(func))
    for candidate in candidates.values():
        arguments = torch_private.arguments_of(candidate)
        if [(a.name, str(a.type)) for a in arguments] == wanted and not torch_private.written_names(
            candidate
        ):
            return candidate
    return func


def _without(func: Any) -> Handler:
    def handler(*args: Any, **kwargs: Any) -> Any:
        raise Unbounded(f"{torch_private.overload_name(func)} has no rounding bound")

    return handler


def _given(result: Any) -> Any:
    """What torch's own code goes on with."""
    if not isinstance(result, Undetermined):
        return result
    return torch.empty(0) if result.as_computed is None else result.as_computed
