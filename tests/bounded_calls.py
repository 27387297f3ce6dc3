"""What the tests of bounded tensors share: random arguments, and use of a call's bound."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from torch_parity.compare.bounds.tensors import BoundedTensor, replay_call

A = torch.ops.aten
TIERS = {
    torch.float64: ("walk",),
    torch.float32: ("walk",),
    torch.bfloat16: ("walk", "worst", "half"),
    torch.float16: ("walk", "worst", "half"),
}
DTYPES = list(TIERS)


class Draw:
    """Random tensors of one type."""

    def __init__(self, seed: int, dtype: torch.dtype) -> None:
        self.seed, self.dtype = seed, dtype
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> torch.Tensor:
        """Normal numbers."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def within(self, low: float, high: float, *shape: int) -> torch.Tensor:
        """Numbers between two."""
        drawn = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return (low + (high - low) * drawn).to(self.dtype)

    def below(self, n: int, *shape: int) -> torch.Tensor:
        """Integers from 0 to n - 1."""
        return torch.randint(n, shape, generator=self.generator)

    def mask(self, *shape: int) -> torch.Tensor:
        """True or false."""
        return torch.rand(shape, generator=self.generator) < 0.5


@dataclass(frozen=True)
class Row:
    """A call: the overload, and what draws its arguments.

    sharp: one entry that is off by 1e-4 of the greatest is outside the bound. same: torch computes
    the same numbers in float64. wide: the result has fewer digits than float32. dtypes: the types
    that torch's kernel takes.
    """

    overload: Any
    sample: Callable[[Draw], tuple[Any, ...]]
    options: dict[str, Any] = field(default_factory=dict)
    sharp: bool = True
    same: bool = True
    wide: bool = False
    dtypes: tuple[torch.dtype, ...] = tuple(DTYPES)

    def __str__(self) -> str:
        return str(self.overload)


HIGH = (torch.float32, torch.float64)


def in_double(tree: Any) -> Any:
    """The same arguments in float64."""
    return torch.utils._pytree.tree_map(
        lambda x: x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x, tree
    )


def copied(tree: Any) -> Any:
    """The same arguments in memory of their own."""
    return torch.utils._pytree.tree_map(
        lambda x: x.clone() if isinstance(x, torch.Tensor) else x, tree
    )


def left_by(overload: Any, args: Any, options: Any) -> list[torch.Tensor]:
    """What torch's own call leaves, in the order of replay_call."""
    args, options = copied((args, options))
    returned = overload(*args, **options)
    found = [x for x in torch.utils._pytree.tree_leaves(returned) if isinstance(x, torch.Tensor)]
    names = [a.name for a in overload._schema.arguments]
    given = dict(zip(names, args, strict=False)) | options
    for argument in overload._schema.arguments:
        if argument.alias_info is not None and argument.alias_info.is_write:
            for x in torch.utils._pytree.tree_leaves(given.get(argument.name)):
                if isinstance(x, torch.Tensor) and not any(x is y for y in found):
                    found.append(x)
    if overload is A.native_batch_norm.default:
        found += [x for x in args[3:5] if x is not None]
    return found


def gap(seen: torch.Tensor, bounded: Any) -> np.ndarray:
    """|seen - value|; 0 where both are the same infinity or no number."""
    value = bounded.value
    wide = seen.detach().double().numpy().astype(value.dtype)
    with np.errstate(invalid="ignore"):
        same = (wide == value) | (np.isnan(wide) & np.isnan(value))
        return np.where(same, 0.0, np.abs(wide - value)).astype(np.float64)


def use_of(seen: torch.Tensor, bounded: Any) -> float:
    """The greatest |seen - value| / error."""
    assert tuple(seen.shape) == bounded.shape
    off = gap(seen, bounded)
    with np.errstate(invalid="ignore", divide="ignore"):
        uses = np.where(off == 0, 0.0, off / bounded.error)
    return float(np.nan_to_num(uses, nan=np.inf, posinf=np.inf).max(initial=0.0))


def held(row: Row, seed: int, dtype: torch.dtype) -> tuple[float, list[Any], list[torch.Tensor]]:
    """The greatest use of the call's bounds by the first tier that holds; the results."""
    args = row.sample(Draw(seed, dtype))
    seen = left_by(row.overload, args, row.options)
    first: Any = None
    for tier in TIERS[dtype]:
        expected = replay_call(row.overload, args, row.options, tier)
        assert len(expected) == len(seen), f"{len(expected)} results, torch has {len(seen)}"
        use = 0.0
        for s, e in zip(seen, expected, strict=True):
            if isinstance(e, BoundedTensor):
                assert e.dtype == s.dtype
                use = max(use, use_of(s, e.bounded))
            elif e is not None:
                assert torch.equal(s, e)
        first = (use, expected, seen) if first is None or use <= 1 else first
        if use <= 1:
            break
    return first


def off_from_double(row: Row, seed: int, dtype: torch.dtype) -> float:
    """How far the values are from torch's own in float64, relative to the greatest."""
    args = row.sample(Draw(seed, dtype))
    reference = left_by(row.overload, *in_double((args, row.options)))
    most = 0.0
    for r, e in zip(reference, replay_call(row.overload, args, row.options), strict=True):
        if isinstance(e, BoundedTensor) and r.numel():
            scale = float(r.double().abs().nan_to_num(0, 0, 0).max())
            most = max(most, float(gap(r, e.bounded).max()) / max(scale, 1e-30))
    return most


def typical(expected: list[Any]) -> float:
    """The greatest, over results, of the median error relative to the greatest number."""
    found = 0.0
    for e in expected:
        if isinstance(e, BoundedTensor) and e.bounded.size:
            value = np.abs(e.bounded.value[np.isfinite(e.bounded.value)])
            if value.max(initial=0.0) > 0:
                found = max(found, float(np.median(e.bounded.error) / value.max()))
    return found


def unseen(expected: list[Any], seen: list[torch.Tensor], seed: int) -> list[int]:
    """Results in which one entry that is 1e-4 of the greatest off stays within the bound."""
    rng = np.random.default_rng(seed)
    missed = []
    for i, (s, e) in enumerate(zip(seen, expected, strict=True)):
        if not isinstance(e, BoundedTensor) or not s.numel():
            continue
        flat = s.detach().double().reshape(-1).clone()
        finite = flat[flat.isfinite()]
        if not len(finite) or not finite.abs().max() > 0:
            continue
        at = int(rng.choice(np.flatnonzero(flat.isfinite().numpy())))
        flat[at] += 1e-4 * finite.abs().max()
        if use_of(flat.reshape(s.shape), e.bounded) <= 1:
            missed.append(i)
    return missed


SEEDS = range(3)


def every_type(rows: list[Row]) -> Any:
    """A test of each row in each type that its kernel takes."""
    cases = [(row, dtype) for row in rows for dtype in row.dtypes]
    names = [f"{row}-{str(d).removeprefix('torch.')}-{i}" for i, (row, d) in enumerate(cases)]
    return pytest.mark.parametrize(("row", "dtype"), cases, ids=names)


def require_bounds(row: Row, dtype: torch.dtype) -> None:
    """torch's result is within the bound, the value is right, the bound is narrow, and a result
    with one wrong entry is outside."""
    for seed in SEEDS:
        use, expected, seen = held(row, seed, dtype)
        assert use <= 1, f"seed {seed}: {use} of the bound"
        if dtype == torch.float32:
            off = off_from_double(row, seed, dtype) if row.same else 0.0
            assert off < 1e-11, f"seed {seed}: the value is {off} off"
            assert row.wide or typical(expected) < 1e-4, f"seed {seed}: the bound is wide"
            missed = unseen(expected, seen, seed) if row.sharp else []
            assert missed == [], f"seed {seed}: results {missed} with a wrong entry are within"
