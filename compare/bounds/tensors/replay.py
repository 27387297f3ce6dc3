"""One recorded ATen call, computed again with bounds."""

from typing import Any

import torch

from torch_parity.compare import torch_private
from torch_parity.compare.bounds.tensors import (  # noqa: F401 (fourier adds its rules)
    complex_numbers,
    dispatch,
    fourier,
)
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import HALVES, NUMPY_TYPES
from torch_parity.compare.bounds.tensors.tiers import TIERS, judged_by
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

Result = torch.Tensor | BoundedTensor | None


def replay_call(
    overload: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    tier: str = "walk",
    accelerator: bool = False,
) -> list[Result]:
    """What an ATen call should have left, from its recorded inputs.

    args and kwargs hold plain tensors, as they were before the call. The result has an entry for
    each tensor that the call returns, then for each that it writes and does not return, in the
    order of its arguments: a BoundedTensor of real numbers, a plain tensor of integers and truths,
    or None where the inputs do not determine it.

    tier: "walk", "worst" or "half" (tiers.py). accelerator says that the call ran on another device
    than the CPU, where the tensors no longer are.

    Raises:
        Unbounded: no bound can be derived for it; the message says why.
    """
    if tier not in TIERS:
        raise ValueError(f"tier is one of {', '.join(TIERS)}, not {tier!r}")
    name = torch_private.overload_name(overload)
    given = dispatch.bound_arguments(overload, args, kwargs or {})
    written = dispatch.written_names(overload)
    try:
        with (
            judged_by(
                tier=tier,
                coarsest=_coarsest(given, tier),
                alone=True,
                accelerator=accelerator
                or any(
                    isinstance(x, torch.Tensor) and x.device.type != "cpu"
                    for x in torch_private.flattened((args, kwargs or {}))
                ),
            ),
            torch.no_grad(),
        ):
            lifted_args, lifted_kwargs = torch_private.mapped(_lifted, (args, kwargs or {}))
            if dispatch.base_name(overload) == "as_strided":
                lifted_args, lifted_kwargs = args, kwargs or {}
            base = dispatch.base_name(overload)
            if complex_numbers.concerns(base, lifted_args, lifted_kwargs):
                return complex_numbers.computed(overload, base, lifted_args, lifted_kwargs)
            found = _without_rounding(overload, lifted_args, lifted_kwargs)
            if found is not None:
                return found
            fresh, contents = dispatch.computed(overload, tuple(lifted_args), lifted_kwargs)
    except Unbounded as error:
        raise Unbounded(f"{name}: {error}") from error
    except Exception as error:
        raise Unbounded(f"{name}: {type(error).__name__}: {error}") from error
    targets = [t for each in written for t in dispatch.tensors_in(given.get(each))]
    if len(targets) != len(contents):
        raise Unbounded(f"{name} writes {len(targets)} tensors, and its rule {len(contents)}")
    new = [dispatch.as_type(x, t.dtype) for x, t in zip(contents, targets, strict=True)]
    return [_entry(x) for x in [*fresh, *new]]


def _without_rounding(overload: Any, args: Any, kwargs: Any) -> list[Result] | None:
    """What torch's own call leaves, if it reads and leaves integers and truths only."""
    if any(_is_rounded(x) for x in torch_private.flattened((args, kwargs))):
        return None
    if dispatch.is_undetermined(overload):
        return None
    results = dispatch.tensors_in(overload(*args, **kwargs))
    given = dispatch.bound_arguments(overload, args, kwargs)
    for name in dispatch.written_names(overload):
        results += [
            x for x in dispatch.tensors_in(given.get(name)) if not any(x is y for y in results)
        ]
    return None if any(_is_rounded(x) for x in results) else results


def _is_rounded(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex())


def _lifted(x: Any) -> Any:
    if isinstance(x, torch.device):
        return torch.device("cpu")  # a call on another device is computed here
    if isinstance(x, complex_numbers.Complex):
        return complex_numbers.Complex(_lifted(x.pairs))
    if not isinstance(x, torch.Tensor) or isinstance(x, BoundedTensor):
        return x
    plain = x.dtype == torch.bool or not (x.is_floating_point() or x.is_complex())
    if plain and x.layout is torch.strided and not x.is_quantized:
        return x.detach().cpu().clone()
    return BoundedTensor.exact(x)


def _coarsest(given: dict[str, Any], tier: str) -> Any:
    """The half with the fewest digits among the types that a call reads or makes."""
    if tier != "half":
        return None
    leaves = torch_private.flattened(given)
    found = {x.dtype if isinstance(x, torch.Tensor) else x for x in leaves if _is_typed(x)}
    halves = [NUMPY_TYPES[d] for d in (torch.bfloat16, torch.float16) if d in found & HALVES]
    return halves[0] if halves else None


def _is_typed(x: Any) -> bool:
    return isinstance(x, torch.Tensor | torch.dtype)


def _entry(x: Any) -> Result:
    """A result, or None where it is not determined."""
    if isinstance(x, BoundedTensor):
        return None if x.dtype == torch.bool else x
    if isinstance(x, torch.Tensor):
        return BoundedTensor.exact(x) if x.is_floating_point() else x
    return None
