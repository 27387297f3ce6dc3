"""Operations that move numbers: against torch, for shapes of every kind, also empty and of no
dimension. Nothing is rounded, in float64 neither."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.bounded_calls import A, Draw, copied, left_by
from torch_parity.compare.bounds.tensors import BoundedTensor, Unbounded, replay_call

SHAPES = [(3, 4, 5), (1, 4, 2), (2, 0, 3), (2, 3, 4)]
CALLS = [
    (A.view.default, lambda t, s: (t(*s), [s[0] * s[1], s[2]])),
    (A.view.default, lambda t, s: (t(*s).transpose(0, 1), [s[1], s[0], s[2], 1])),
    (A._unsafe_view.default, lambda t, s: (t(*s), [-1] if all(s) else [0])),
    (A.permute.default, lambda t, s: (t(*s), [2, 0, 1])),
    (A.transpose.int, lambda t, s: (t(*s), 0, -1)),
    (A.t.default, lambda t, s: (t(s[0], s[1]),)),
    (A.expand.default, lambda t, s: (t(s[0], 1, s[2]), [2, s[0], s[1], s[2]])),
    (A.slice.Tensor, lambda t, s: (t(*s), 2, 1, 9, 2)),
    (A.select.int, lambda t, s: (t(*s), 0, -1)),
    (A.squeeze.dim, lambda t, s: (t(*s), 0)),
    (A.unsqueeze.default, lambda t, s: (t(*s), -1)),
    (A.diagonal.default, lambda t, s: (t(*s), 1, 0, 2)),
    (A.split.Tensor, lambda t, s: (t(*s), 2, 2)),
    (A.split_with_sizes.default, lambda t, s: (t(*s), [1, s[2] - 1], 2)),
    (A.unbind.int, lambda t, s: (t(*s), 2)),
    (A.unfold.default, lambda t, s: (t(*s), 2, 2, 1)),
    (A.detach.default, lambda t, s: (t(*s),)),
    (A.clone.default, lambda t, s: (t(*s).transpose(0, 1),)),
    (A.cat.default, lambda t, s: ([t(*s), t(*s), t(0)], 1)),
    (A.stack.default, lambda t, s: ([t(*s), t(*s)], -1)),
    (A.flip.default, lambda t, s: (t(*s), [0, 2])),
    (A.roll.default, lambda t, s: (t(*s), [1, 2], [0, 2])),
    (A.repeat.default, lambda t, s: (t(*s), [2, 1, 2, 1])),
    (A.tril.default, lambda t, s: (t(*s), 1)),
    (A.triu.default, lambda t, s: (t(*s),)),
    (A.constant_pad_nd.default, lambda t, s: (t(*s), [1, 2, 0, 1], 0.3)),
    (A.reflection_pad2d.default, lambda t, s: (t(1, 2, 4, 5), [1, 2, 0, 1])),
    (A.replication_pad2d.default, lambda t, s: (t(1, 2, 4, 5), [1, 2, 0, 1])),
    (A.index.Tensor, lambda t, s: (t(*s), [None, None, t.below(s[2], 2, 2)])),
    (A.index.Tensor, lambda t, s: (t(*s), [t.mask(*s)])),
    (A.index_select.default, lambda t, s: (t(*s), 2, t.below(s[2], 6))),
    (A.gather.default, lambda t, s: (t(*s), 2, t.below(s[2], *s[:2], 7))),
    (A.embedding.default, lambda t, s: (t(5, 3), t.below(5, *s))),
    (A.masked_select.default, lambda t, s: (t(*s), t.mask(*s))),
    (A.index_put.default, lambda t, s: (t(5, 3), [torch.tensor([3, 1])], t(2, 3))),
    (A.index_put_.default, lambda t, s: (t(5, 3), [torch.tensor([3, 1])], t(3))),
    (A.index_copy.default, lambda t, s: (t(5, 3), 0, torch.tensor([3, 1]), t(2, 3))),
    (A.index_fill.int_Scalar, lambda t, s: (t(5, 3), 0, torch.tensor([3, 1]), 0.7)),
    (A.scatter.src, lambda t, s: (t(5, 3), 0, torch.tensor([[3, 1, 2]]), t(1, 3))),
    (A.scatter.value, lambda t, s: (t(5, 3), 1, torch.tensor([[2], [1]]), 0.3)),
    (A.scatter_.value, lambda t, s: (t(5, 3), 1, torch.tensor([[2], [1]]), 0.3)),
    (A.masked_scatter.default, lambda t, s: (t(5, 3), t.mask(5, 3), t(15))),
    (A.select_scatter.default, lambda t, s: (t(*s), t(s[0], s[2]), 1, 0)),
    (A.slice_scatter.default, lambda t, s: (t(*s), t(*s[:2], 1), 2, 1, 2)),
    (A.select_backward.default, lambda t, s: (t(s[0], s[2]), list(s), 1, 0)),
    (A.slice_backward.default, lambda t, s: (t(*s[:2], 1), list(s), 2, 1, 2, 1)),
    (A.im2col.default, lambda t, s: (t(2, 3, 4, 5), [2, 3], [1, 1], [1, 0], [1, 2])),
    (A.pixel_shuffle.default, lambda t, s: (t(2, 8, 3, 2), 2)),
    (A.upsample_nearest2d.default, lambda t, s: (t(2, 3, 4, 5), [7, 9])),
    (A.repeat_interleave.self_int, lambda t, s: (t(*s), 2, 1)),
    (A.zeros_like.default, lambda t, s: (t(*s),)),
    (A.ones_like.default, lambda t, s: (t(*s),)),
    (A.full_like.default, lambda t, s: (t(*s), 0.1)),
    (A.new_zeros.default, lambda t, s: (t(*s), [2, 3])),
    (A.fill_.Scalar, lambda t, s: (t(*s), 0.1)),
    (A.zero_.default, lambda t, s: (t(*s),)),
    (A.cat.default, lambda t, s: ([t(2).float(), t(3).double()],)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "at", range(len(CALLS)), ids=[f"{f}-{i}" for i, (f, _) in enumerate(CALLS)]
)
def test_layout(at: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    overload, sample = CALLS[at]
    for seed in range(2):
        try:
            args = sample(Draw(seed, dtype), shape)
            seen = left_by(overload, args, {})
        except (RuntimeError, IndexError):
            assert 0 in shape, "torch refuses this call"
            continue
        expected = replay_call(overload, copied(args), {})
        assert len(seen) == len(expected)
        for s, e in zip(seen, expected, strict=True):
            assert isinstance(e, BoundedTensor)
            assert e.dtype == s.dtype
            wide = s.double().numpy().astype(e.bounded.value.dtype)
            assert np.array_equal(e.bounded.value, wide), f"seed {seed}"
            assert not e.bounded.error.any(), f"seed {seed}"


@pytest.mark.parametrize(
    "overload", [A.view.default, A.slice.Tensor, A.permute.default, A.t.default]
)
def test_a_view_shares_its_numbers_with_its_base(overload: Any) -> None:
    base = BoundedTensor.exact(torch.randn(4, 6))
    rest = {A.view.default: ([3, 8],), A.slice.Tensor: (1, 2), A.permute.default: ([1, 0],)}
    view = overload(base, *rest.get(overload, ()))
    view.mul_(3)
    assert base.bounded.error.any()
    plain = torch.zeros(4, 6)
    overload(plain, *rest.get(overload, ())).add_(1)
    changed = base.bounded.error > 0
    assert np.array_equal(changed, plain.numpy() > 0)


def test_memory_outside_of_a_recorded_tensor_is_not_guessed() -> None:
    part = torch.randn(4, 6)[1:, ::2]
    (inside,) = replay_call(A.as_strided.default, (part, [2, 2], [6, 2], 8), {})
    assert isinstance(inside, BoundedTensor)
    assert np.array_equal(inside.bounded.value, part.as_strided([2, 2], [6, 2], 8).double().numpy())
    with pytest.raises(Unbounded, match="as_strided reads memory outside"):
        replay_call(A.as_strided.default, (part, [2, 2], [6, 1], 6), {})


def test_more_tensors_than_python_has_frames() -> None:
    """The steps of a long sequence, joined."""
    parts = [BoundedTensor.exact(torch.full((1, 2), float(i))) for i in range(1500)]
    assert torch.cat(parts).shape == (1500, 2)
    assert torch.stack(parts).shape == (1500, 1, 2)
