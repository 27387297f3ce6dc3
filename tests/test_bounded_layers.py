"""The ATen calls of layers: convolutions, pools, normalizations, attention, recurrent layers, sums
by place, optimizers. Each as in test_bounded_tensors.py."""

from typing import Any

import pytest
import torch

from tests.bounded_calls import HIGH, A, Draw, Row, every_type, require_bounds
from torch_parity.compare.bounds.tensors import Unbounded, replay_call

CONV = A.convolution.default
BACK = A.convolution_backward.default
ALL = [True, True, True]


def conv_back(t: Draw, x: tuple[int, ...], w: tuple[int, ...], *options: Any) -> tuple[Any, ...]:
    a, b = t(*x), t(*w)
    out = CONV(a.double(), b.double(), None, *options)
    c = [w[1] * options[5] if options[3] else w[0]]
    return t(*out.shape), a, b, c, *options, ALL


GEOMETRIES: list[tuple[Any, ...]] = [
    ((2, 3, 7, 6), (4, 3, 3, 2), [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
    ((2, 4, 7, 6), (6, 2, 3, 2), [2, 1], [1, 2], [1, 2], False, [0, 0], 2),
    ((2, 4, 5, 6), (4, 1, 3, 3), [1, 1], [1, 1], [1, 1], False, [0, 0], 4),
    ((2, 4, 5, 3), (4, 3, 3, 2), [2, 3], [1, 0], [1, 1], True, [1, 0], 1),
    ((2, 4, 5, 3), (4, 3, 3, 2), [2, 1], [0, 1], [1, 2], True, [0, 0], 2),
    ((2, 3, 9), (4, 3, 3), [2], [1], [1], False, [0], 1),
    ((1, 2, 4, 5, 3), (3, 2, 2, 3, 2), [1, 2, 1], [0, 1, 0], [1, 1, 1], False, [0, 0, 0], 1),
]


def with_bias(x: Any, w: Any, *options: Any) -> Row:
    outputs = w[1] * options[5] if options[3] else w[0]
    return Row(CONV, lambda t: (t(*x), t(*w), t(outputs), *options))


CONVOLUTIONS = [
    *(with_bias(*g) for g in GEOMETRIES),
    *(Row(BACK, lambda t, g=g: conv_back(t, *g)) for g in GEOMETRIES),
    Row(CONV, lambda t: (t(2, 3, 6), t(4, 3, 2), None, [1], [0], [1], False, [0], 1)),
]

POOLS = [
    Row(A.avg_pool2d.default, lambda t: (t(2, 3, 7, 6), [3, 2], [2, 2], [1, 1], True)),
    Row(A.avg_pool2d.default, lambda t: (t(2, 3, 7, 6), [3, 2], [2, 1], [1, 1], False, False)),
    Row(A.avg_pool2d.default, lambda t: (t(2, 3, 7, 6), [2, 2], [], [0, 0], False, True, 3)),
    Row(A.avg_pool3d.default, lambda t: (t(2, 3, 4, 5, 6), [2, 2, 3]), dtypes=HIGH),
    Row(
        A.avg_pool2d_backward.default,
        lambda t: (t(2, 3, 4, 3), t(2, 3, 7, 6), [3, 2], [2, 2], [1, 0], True, False, None),
    ),
    Row(A._adaptive_avg_pool2d.default, lambda t: (t(2, 3, 7, 5), [3, 2])),
    Row(A._adaptive_avg_pool2d_backward.default, lambda t: (t(2, 3, 3, 2), t(2, 3, 7, 5))),
    Row(A._adaptive_avg_pool3d.default, lambda t: (t(2, 3, 4, 5, 6), [2, 3, 4])),
    Row(A.max_pool2d_with_indices.default, lambda t: (t(2, 3, 7, 6), [3, 2], [2, 2], [1, 1])),
    Row(A.max_pool2d_with_indices.default, lambda t: (t(3, 7, 6), [2], [], [0], [2], True)),
    Row(A.max_pool3d_with_indices.default, lambda t: (t(2, 3, 4, 5, 6), [2, 2, 2])),
    Row(A.max_pool2d_with_indices_backward.default, lambda t: pool_back(t)),
    Row(A.adaptive_max_pool2d.default, lambda t: (t(2, 3, 7, 5), [3, 2])),
    Row(A.upsample_nearest2d_backward.default, lambda t: (t(2, 3, 7, 9), [7, 9], [2, 3, 4, 5])),
    Row(A.upsample_bilinear2d.default, lambda t: (t(2, 3, 4, 5), [7, 9], False)),
    Row(A.upsample_bilinear2d.default, lambda t: (t(2, 3, 4, 5), [7, 9], True)),
    Row(A.upsample_bilinear2d.default, lambda t: (t(2, 3, 4, 5), [8, 10], False, 2.0, 2.0)),
    Row(A.upsample_bilinear2d.default, lambda t: (t(2, 3, 8, 9), [3, 4], False)),
    Row(A.upsample_linear1d.default, lambda t: (t(2, 3, 5), [9], False)),
    Row(A.upsample_trilinear3d.default, lambda t: (t(2, 3, 3, 4, 5), [5, 6, 7], False)),
    Row(A.upsample_bicubic2d.default, lambda t: (t(2, 3, 4, 5), [7, 9], False)),
    Row(A.upsample_bicubic2d.default, lambda t: (t(2, 3, 4, 5), [7, 9], True)),
    Row(
        A.upsample_bilinear2d_backward.default,
        lambda t: (t(2, 3, 7, 9), [7, 9], [2, 3, 4, 5], False),
    ),
    Row(
        A.upsample_bicubic2d_backward.default,
        lambda t: (t(2, 3, 7, 9), [7, 9], [2, 3, 4, 5], False),
        dtypes=HIGH,
    ),
]


def pool_back(t: Draw) -> tuple[Any, ...]:
    x = t(2, 3, 7, 6)
    options = ([3, 2], [2, 1], [1, 1], [1, 1], False)
    y, at = A.max_pool2d_with_indices.default(x, *options)
    return t(*y.shape), x, *options, at


def batch_norm(t: Draw, training: bool = True) -> tuple[Any, ...]:
    return t(4, 3, 5) + 1, t(3), t(3), t(3), t.within(0.5, 2, 3), training, 0.1, 1e-5


def batch_norm_back(t: Draw, training: bool = True) -> tuple[Any, ...]:
    x = t(4, 3, 5) + 1
    mean, inverse = x.float().mean((0, 2)), x.float().var((0, 2), correction=0).rsqrt()
    statistics = mean.to(t.dtype), inverse.to(t.dtype)
    return t(4, 3, 5), x, t(3), t(3), t.within(0.5, 2, 3), *statistics, training, 1e-5, ALL


def layer_norm_back(t: Draw) -> tuple[Any, ...]:
    x = t(4, 3, 6)
    _, mean, inverse = A.native_layer_norm.default(x, [6], None, None, 1e-5)
    return t(4, 3, 6), x, [6], mean, inverse, t(6), t(6), ALL


def group_norm_back(t: Draw) -> tuple[Any, ...]:
    x = t(2, 4, 5)
    _, mean, inverse = A.native_group_norm.default(x, None, None, 2, 4, 5, 2, 1e-5)
    return t(2, 4, 5), x, mean, inverse, t(4), 2, 4, 5, 2, ALL


NORMALIZATIONS = [
    Row(A.native_batch_norm.default, batch_norm),
    Row(A.native_batch_norm.default, lambda t: batch_norm(t, False)),
    Row(A.native_batch_norm.default, lambda t: (t(4, 3), None, None, None, None, True, 0.1, 1e-5)),
    Row(A._native_batch_norm_legit.default, batch_norm),
    Row(A.native_batch_norm_backward.default, batch_norm_back),
    Row(A.native_batch_norm_backward.default, lambda t: batch_norm_back(t, False)),
    Row(A.native_layer_norm.default, lambda t: (t(4, 3, 6), [6], t(6), t(6), 1e-5)),
    Row(A.native_layer_norm_backward.default, layer_norm_back),
    Row(A.native_group_norm.default, lambda t: (t(2, 4, 5), t(4), t(4), 2, 4, 5, 2, 1e-5)),
    Row(A.native_group_norm_backward.default, group_norm_back),
    Row(A.instance_norm.default, lambda t: (t(2, 3, 9), t(3), t(3), None, None, True, 0, 1e-5, 0)),
    Row(A._fused_rms_norm.default, lambda t: (t(4, 6), [6], t(6), 1e-5), dtypes=HIGH),
    Row(A._weight_norm_interface.default, lambda t: (t(4, 6), t(4, 1), 0), dtypes=HIGH),
    Row(A._weight_norm_interface_backward.default, lambda t: weight_norm_back(t), dtypes=HIGH),
]


def weight_norm_back(t: Draw) -> tuple[Any, ...]:
    v = t(4, 6)
    return t(4, 6), v, t(4, 1), v.norm(dim=1, keepdim=True), 0


FLASH = A._scaled_dot_product_flash_attention_for_cpu.default


def attention_back(t: Draw, causal: bool = False) -> tuple[Any, ...]:
    q, k, v = t(2, 3, 5, 4), t(2, 3, 6, 4), t(2, 3, 6, 4)
    out, lse = FLASH(q, k, v, 0.0, causal)
    return t(2, 3, 5, 4), q, k, v, out, lse, 0.0, causal


def lstm(t: Draw) -> tuple[Any, ...]:
    x, h = t(5, 3, 4), [t(1, 3, 6), t(1, 3, 6)]
    w = [t(24, 4) / 2, t(24, 6) / 2, t(24), t(24)]
    return x, *w, *h, False, [], 2, 6, 1, True, False, False, True


def lstm_back(t: Draw) -> tuple[Any, ...]:
    x, *w, h, c = (arguments := lstm(t))[:7]
    y, hy, cy, workspace = A.mkldnn_rnn_layer.default(*arguments)
    grads = t(*y.shape), t(*hy.shape), t(*cy.shape)
    made = (y, hy, cy, *grads, False, 2, 6, 1, True, True, False, [], False, workspace)
    return x, *w, h, c, *made


SINGLE = (torch.float32,)
SEQUENCES = [
    Row(FLASH, lambda t: (t(2, 3, 5, 4), t(2, 3, 6, 4), t(2, 3, 6, 4))),
    Row(FLASH, lambda t: (t(2, 3, 6, 4), t(2, 3, 6, 4), t(2, 3, 6, 4), 0.0, True)),
    Row(FLASH, lambda t: (t(1, 2, 300, 8), *[t(1, 2, 700, 8)] * 2), sharp=False, wide=True),
    Row(FLASH, lambda t: (t(2, 3, 5, 4), t(2, 3, 6, 4), t(2, 3, 6, 4)), {"scale": 0.3}),
    Row(A._scaled_dot_product_flash_attention_for_cpu_backward.default, attention_back),
    Row(
        A._scaled_dot_product_flash_attention_for_cpu_backward.default,
        lambda t: attention_back(t, True),
    ),
    Row(A.mkldnn_rnn_layer.default, lstm, dtypes=SINGLE, same=False),
    Row(A.mkldnn_rnn_layer_backward.default, lstm_back, {}, False, False, True, SINGLE),
    Row(A._safe_softmax.default, lambda t: (t(4, 6), 1)),
    Row(A.gru_cell.default, lambda t: (t(3, 4), t(3, 5), t(15, 4), t(15, 5), t(15), t(15))),
    Row(A.lstm_cell.default, lambda t: (t(3, 4), [t(3, 5)] * 2, t(20, 4), t(20, 5), t(20), t(20))),
]


def encoder(t: Draw, **more: bool) -> tuple[Any, ...]:
    weights = [t(24, 8) / 9, t(24), t(8, 8) / 9, t(8)]
    norms, feed = [t(8), t(8), t(8), t(8)], [t(6, 8) / 9, t(6), t(8, 6) / 9, t(8)]
    mask = torch.tensor([[False] * 5, [False, False, False, True, True]])
    first = more.get("norm_first", False)
    return t(2, 5, 8), 8, 2, *weights, first, first, 1e-5, *norms, *feed, mask, 1


def attention_layer(t: Draw) -> tuple[Any, ...]:
    x = t(2, 5, 8)
    return x, x, x, 8, 2, t(24, 8) / 9, t(24), t(8, 8) / 9, t(8)


ENCODER = A._transformer_encoder_layer_fwd.default
ENCODERS = [
    Row(ENCODER, encoder),
    Row(ENCODER, lambda t: encoder(t, norm_first=True)),
    Row(A._native_multi_head_attention.default, attention_layer),
]

INDEX = torch.tensor([[0, 2, 2], [1, 1, 1], [2, 0, 1]])
BY_PLACE = [
    Row(A.scatter_add.default, lambda t: (t(3, 4), 0, INDEX, t(5, 6))),
    Row(A.scatter_add_.default, lambda t: (t(4, 3), 1, INDEX, t(3, 3))),
    Row(A.scatter_reduce.two, lambda t: (t(3, 3), 0, INDEX, t(3, 3), "sum")),
    Row(A.scatter_reduce.two, lambda t: (t(3, 3), 0, INDEX, t(3, 3), "mean")),
    Row(
        A.scatter_reduce.two,
        lambda t: (t(3, 3), 0, INDEX, t(3, 3), "mean"),
        {"include_self": False},
    ),
    Row(A.scatter_reduce.two, lambda t: (t(3, 3), 0, INDEX, t(3, 3), "amax")),
    Row(A.scatter_reduce.two, lambda t: (t(3, 3), 1, INDEX, t(3, 3), "amin")),
    Row(A.index_add.default, lambda t: (t(4, 3), 0, t.below(4, 9), t(9, 3)), {"alpha": 0.3}),
    Row(A.index_put.default, lambda t: (t(4, 3), [t.below(4, 9)], t(9, 3), True)),
    Row(A.index_put_.default, lambda t: (t(4, 3, 2), [None, t.below(3, 9)], t(4, 9, 2), True)),
    Row(A._index_put_impl_.default, lambda t: (t(4, 3), [t.below(4, 9)], t(9, 3), True, True)),
    Row(A.put.default, lambda t: (t(4, 3), t.below(12, 20), t(20), True)),
    Row(A.embedding_dense_backward.default, lambda t: (t(9, 3), t.below(4, 9), 5, -1, False)),
    Row(A.embedding_dense_backward.default, lambda t: (t(2, 9, 3), t.below(4, 2, 9), 5, 2, True)),
    Row(A.unfold_backward.default, lambda t: (t(3, 5, 4), [3, 8], 1, 4, 1)),
    Row(A.col2im.default, lambda t: (t(2, 12, 12), [4, 5], [2, 2], [1, 1], [0, 0], [1, 1])),
    Row(
        A.reflection_pad2d_backward.default, lambda t: (t(2, 3, 6, 8), t(2, 3, 4, 5), [1, 2, 1, 1])
    ),
    Row(
        A.replication_pad2d_backward.default,
        lambda t: (t(2, 3, 6, 8), t(2, 3, 4, 5), [1, 2, 1, 1]),
        dtypes=HIGH,
    ),
]


def grid_back(t: Draw, mode: int) -> tuple[Any, ...]:
    grid = t.within(-1.1, 1.1, 2, 4, 5, 2)
    return t(2, 3, 4, 5), t(2, 3, 4, 5), grid, mode, 0, False, [True, True]


def cdist_back(t: Draw, p: float) -> tuple[Any, ...]:
    x, y = t(4, 3), t(5, 3)
    return t(4, 5), x, y, p, torch.cdist(x, y, p)


def pdist_back(t: Draw) -> tuple[Any, ...]:
    x = t(4, 3)
    return t(6), x, 2.0, torch.pdist(x)


OFFSETS = torch.tensor([0, 3, 3, 5])


def bag_back(t: Draw, mode: int) -> tuple[Any, ...]:
    at, bags = t.below(5, 8), torch.tensor([0, 0, 0, 2, 2, 3, 3, 3])
    sizes = torch.tensor([3, 0, 2, 3])
    return t(4, 3), at, OFFSETS, bags, sizes, sizes[:0], 5, False, mode, False, None, 2


READING = [
    Row(A.grid_sampler_2d.default, lambda t: grid_back(t, 0)[1:6]),
    Row(A.grid_sampler_2d.default, lambda t: grid_back(t, 2)[1:6], sharp=False),
    Row(A.grid_sampler_2d_backward.default, lambda t: grid_back(t, 0)),
    *(Row(A._cdist_backward.default, lambda t, p=p: cdist_back(t, p)) for p in (1.0, 2.0, 3.0)),
    Row(A._pdist_forward.default, lambda t: (t(4, 3), 2.0)),
    Row(A._pdist_backward.default, pdist_back),
    *(
        Row(A._embedding_bag.default, lambda t, m=m: (t(5, 3), t.below(5, 8), OFFSETS, False, m))
        for m in range(3)
    ),
    *(Row(A._embedding_bag_backward.default, lambda t, m=m: bag_back(t, m)) for m in range(2)),
    Row(A.embedding_renorm_.default, lambda t: (t(5, 3), t.below(5, 4), 0.9, 2.0)),
    Row(A.rrelu_with_noise.default, lambda t: (t(4, 3), t(4, 3), 0.1, 0.3, False)),
    Row(A._pack_padded_sequence.default, lambda t: (t(5, 3, 2), torch.tensor([5, 3, 2]), False)),
    Row(A.hardshrink_backward.default, lambda t: (t(4, 3), t(4, 3), 0.5)),
]
READING = [Row(r.overload, r.sample, r.options, r.sharp, r.same, r.wide, HIGH) for r in READING]


def adam(t: Draw, **more: Any) -> tuple[Any, ...]:
    lists = [[t(4), t(3, 2)] for _ in range(3)]
    widest = [t.within(0.5, 1, 4), t.within(0.5, 1, 3, 2)]
    squares = [t.within(0, 1, 4), t.within(0, 1, 3, 2)]
    steps = [torch.tensor(3.0), torch.tensor(1.0)]
    return *lists, squares, widest if more.get("amsgrad") else [], steps


ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
PLAIN = {"weight_decay": 0.0, "amsgrad": False, "maximize": False}
DECAYED = {"weight_decay": 0.1, "amsgrad": True, "maximize": True}
SGD = {"lr": 0.1, "weight_decay": 0.01, "dampening": 0.1, "maximize": False}
OPTIMIZERS = [
    Row(A._fused_adam_.default, adam, {**ADAM, **PLAIN}, dtypes=HIGH),
    Row(A._fused_adam_.default, lambda t: adam(t, amsgrad=True), {**ADAM, **DECAYED}, dtypes=HIGH),
    Row(A._fused_adamw_.default, adam, {**ADAM, **PLAIN, "weight_decay": 0.1}, dtypes=HIGH),
    Row(
        A._fused_adamw_.tensor_lr,
        adam,
        {**ADAM, **PLAIN, "lr": torch.tensor(0.25)},
        dtypes=HIGH,
    ),
    Row(
        A._fused_sgd_.default,
        lambda t: tuple([t(4), t(3, 2)] for _ in range(3)),
        {**SGD, "momentum": 0.9, "nesterov": True, "is_first_step": False},
        dtypes=HIGH,
    ),
    Row(
        A._fused_sgd_.default,
        lambda t: ([t(4), t(2)], [t(4), t(2)], []),
        {**SGD, "momentum": 0.0, "nesterov": False, "is_first_step": True},
        dtypes=HIGH,
    ),
    Row(
        A._fused_adagrad_.default,
        lambda t: ([t(4)], [t(4)], [t.within(0, 1, 4)], [torch.tensor(3.0)]),
        {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.1, "eps": 1e-10, "maximize": False},
        dtypes=HIGH,
    ),
]


@every_type(
    CONVOLUTIONS + POOLS + NORMALIZATIONS + SEQUENCES + ENCODERS + BY_PLACE + READING + OPTIMIZERS
)
def test_a_call(row: Row, dtype: torch.dtype) -> None:
    require_bounds(row, dtype)


def test_attention_that_draws_random_numbers_is_refused() -> None:
    q = torch.randn(1, 1, 2, 3)
    with pytest.raises(Unbounded, match="random numbers"):
        replay_call(FLASH, (q, q, q, 0.5), {})
