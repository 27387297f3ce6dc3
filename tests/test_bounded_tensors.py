"""Every ATen call that has a rule of its own: torch's result is within the derived bound, the value
is the right one, the bound is narrow, and a wrong entry is outside."""

from typing import Any

import torch

from tests.bounded_calls import DTYPES, HIGH, A, Row, every_type, require_bounds

UNARY = [
    "abs",
    "neg",
    "sign",
    "exp",
    "exp2",
    "expm1",
    "sin",
    "cos",
    "tan",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "floor",
    "ceil",
    "trunc",
    "erf",
    "erfc",
    "sigmoid",
    "square",
    "relu",
    "round",
    "silu",
    "mish",
    "softplus",
    "hardswish",
    "hardsigmoid",
    "relu6",
    "selu",
]
POSITIVE = ["sqrt", "rsqrt", "log", "log2", "log10", "log1p", "reciprocal"]
INSIDE = ["asin", "acos", "atanh", "erfinv"]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "atan2",
    "copysign",
    "logaddexp",
    "hypot",
    "fmod",
    "remainder",
]

ELEMENTWISE = [
    *(Row(_f, lambda t: (t(3, 5),)) for _f in (getattr(A, n).default for n in UNARY)),
    *(Row(getattr(A, n).default, lambda t: (t.within(0.2, 3, 4, 3),)) for n in POSITIVE),
    *(Row(getattr(A, n).default, lambda t: (t.within(-0.9, 0.9, 7),)) for n in INSIDE),
]
TWO = {
    name: next(
        getattr(getattr(A, name), o) for o in ("Tensor", "default") if hasattr(getattr(A, name), o)
    )
    for name in BINARY
}
HALF_LESS = {"hypot": HIGH}
ELEMENTWISE += [
    Row(f, lambda t: (t(4, 1, 3), t(5, 3)), dtypes=HALF_LESS.get(n, tuple(DTYPES)))
    for n, f in TWO.items()
]
ELEMENTWISE += [
    Row(A.add.Tensor, lambda t: (t(4, 3), t(3)), {"alpha": 0.3}),
    Row(A.add_.Tensor, lambda t: (t(4, 3), t(3))),
    Row(A.sub.Tensor, lambda t: (t(4, 3), t(3)), {"alpha": 2}),
    Row(A.rsub.Scalar, lambda t: (t(4, 3), 0.7)),
    Row(A.mul.Scalar, lambda t: (t(4, 3), 0.1)),
    Row(A.mul.Tensor, lambda t: (t(4, 3), torch.tensor(0.1, dtype=torch.float64))),
    Row(A.div.Tensor_mode, lambda t: (t(4, 3) * 9, t(3)), {"rounding_mode": "floor"}),
    Row(A.pow.Tensor_Scalar, lambda t: (t(4, 3), 2)),
    Row(A.pow.Tensor_Scalar, lambda t: (t(4, 3), 3)),
    Row(A.pow.Tensor_Scalar, lambda t: (t.within(0.1, 3, 4, 3), 1.7)),
    Row(A.pow.Tensor_Scalar, lambda t: (t.within(0.1, 3, 4, 3), -0.5)),
    Row(A.pow.Scalar, lambda t: (0.9, t(4, 3))),
    Row(A.pow.Tensor_Tensor, lambda t: (t.within(0.1, 3, 4, 3), t(3))),
    Row(A.clamp.default, lambda t: (t(4, 3), -0.3, 0.7)),
    Row(A.hardtanh.default, lambda t: (t(4, 3), -0.3, 0.7)),
    Row(A.threshold.default, lambda t: (t(4, 3), 0.1, 20)),
    Row(A.leaky_relu.default, lambda t: (t(4, 3), 0.01)),
    Row(A.elu.default, lambda t: (t(4, 3), 1.3)),
    Row(A.celu.default, lambda t: (t(4, 3), 1.3)),
    Row(A.gelu.default, lambda t: (t(40, 3) * 2,)),
    Row(A.gelu.default, lambda t: (t(40, 3) * 2,), {"approximate": "tanh"}),
    Row(A.gelu_backward.default, lambda t: (t(40, 3), t(40, 3) * 2)),
    Row(A.gelu_backward.default, lambda t: (t(40, 3), t(40, 3)), {"approximate": "tanh"}),
    Row(A.silu_backward.default, lambda t: (t(4, 3), t(4, 3))),
    Row(A.mish_backward.default, lambda t: (t(4, 3), t(4, 3))),
    Row(A.elu_backward.default, lambda t: (t(4, 3), 1.3, 1, 1, False, t(4, 3))),
    Row(A.softplus_backward.default, lambda t: (t(4, 3), t(4, 3), 1, 20)),
    Row(A.hardswish_backward.default, lambda t: (t(4, 3), t(4, 3) * 3)),
    Row(A.hardsigmoid_backward.default, lambda t: (t(4, 3), t(4, 3)), same=False),
    Row(A.hardtanh_backward.default, lambda t: (t(4, 3), t(4, 3), -0.3, 0.7)),
    Row(A.leaky_relu_backward.default, lambda t: (t(4, 3), t(4, 3), 0.01, False)),
    Row(A.threshold_backward.default, lambda t: (t(4, 3), t(4, 3), 0)),
    Row(A.tanh_backward.default, lambda t: (t(4, 3), t(4, 3).tanh())),
    Row(A.sigmoid_backward.default, lambda t: (t(4, 3), t(4, 3).sigmoid())),
    Row(A.log_sigmoid_forward.default, lambda t: (t(4, 3),)),
    Row(A.log_sigmoid_backward.default, lambda t: (t(4, 3), x := t(4, 3), (-x.abs()).exp())),
    Row(A.glu.default, lambda t: (t(4, 6),)),
    Row(A.glu_backward.default, lambda t: (t(4, 3), t(4, 6), -1)),
    Row(A._prelu_kernel.default, lambda t: (t(4, 3), t(1, 3))),
    Row(A._prelu_kernel_backward.default, lambda t: (t(4, 3), t(4, 3), t(1, 3))),
    Row(A.addcmul.default, lambda t: (t(4, 3), t(3), t(4, 1)), {"value": 0.3}),
    Row(A.addcdiv.default, lambda t: (t(4, 3), t(3), t.within(1, 2, 4, 1)), {"value": -0.3}),
    Row(A.lerp.Scalar, lambda t: (t(4, 3), t(4, 3), 0.3)),
    Row(A.lerp.Tensor, lambda t: (t(4, 3), t(4, 3), t.within(0, 1, 4, 3))),
    Row(A.where.self, lambda t: (t.mask(4, 3), t(4, 3), t(3))),
    Row(A.masked_fill.Scalar, lambda t: (t(4, 3), t.mask(4, 3), -9.1)),
    Row(A.nan_to_num.default, lambda t: (t(4, 3) / t.mask(4, 3),), same=False),
    Row(A.xlogy.Tensor, lambda t: (t(4, 3), t.within(0.1, 2, 3))),
    Row(A.gt.Scalar, lambda t: (t(4, 3), 0.25)),
    Row(A.isfinite.default, lambda t: (t(4, 3) / t.mask(4, 3),), dtypes=HIGH),
    Row(A._to_copy.default, lambda t: (t(4, 3),), {"dtype": torch.float16}, False, False, True),
    Row(A._to_copy.default, lambda t: (t.below(9, 4, 3),), {"dtype": torch.float32}),
    Row(A.copy_.default, lambda t: (t(4, 3), t(3).double())),
    Row(A._foreach_add_.List, lambda t: ([t(4), t(3, 2)], [t(4), t(3, 2)]), {"alpha": 0.3}),
    Row(A._foreach_mul.ScalarList, lambda t: ([t(4), t(3, 2)], [0.3, 4])),
    Row(A._foreach_sqrt.default, lambda t: ([t.within(0, 2, 4), t.within(0, 1, 2)],)),
    Row(
        A._foreach_addcdiv_.ScalarList,
        lambda t: ([t(4), t(2)], [t(4), t(2)], [t.within(1, 2, 4), t.within(1, 2, 2)], [0.1, 0.2]),
    ),
    Row(A._foreach_lerp_.Scalar, lambda t: ([t(4), t(2)], [t(4), t(2)], 0.1)),
    Row(A._foreach_norm.Scalar, lambda t: ([t(4), t(3, 2)], 2)),
    Row(A._foreach_zero_.default, lambda t: ([t(4), t(3, 2)],)),
    Row(A._foreach_copy_.default, lambda t: ([t(4), t(2)], [t(4), t(2)])),
    Row(A.mse_loss.default, lambda t: (t(4, 3), t(4, 3))),
    Row(A.mse_loss_backward.default, lambda t: (t(), t(4, 3), t(4, 3), 1)),
    Row(A.smooth_l1_loss.default, lambda t: (t(4, 3), t(4, 3), 1, 0.7)),
    Row(A.smooth_l1_loss_backward.default, lambda t: (t(), t(4, 3), t(4, 3), 1, 0.7)),
    Row(A.huber_loss.default, lambda t: (t(4, 3), t(4, 3), 1, 0.7)),
    Row(A.huber_loss_backward.default, lambda t: (t(), t(4, 3), t(4, 3), 1, 0.7)),
    Row(A.binary_cross_entropy.default, lambda t: (t.within(0.1, 0.9, 4, 3), t.within(0, 1, 4, 3))),
    Row(
        A.binary_cross_entropy_backward.default,
        lambda t: (t(), t.within(0.1, 0.9, 4, 3), t.within(0, 1, 4, 3)),
    ),
    Row(
        A.binary_cross_entropy_with_logits.default,
        lambda t: (t(4, 3), t.within(0, 1, 4, 3)),
    ),
    Row(A.nll_loss_forward.default, lambda t: (t(4, 3), t.below(3, 4), None, 1, -100)),
    Row(A.nll_loss_forward.default, lambda t: (t(4, 3), t.below(3, 4), t.within(0, 1, 3), 1, 1)),
    Row(
        A.nll_loss_backward.default,
        lambda t: (t(), t(4, 3), t.below(3, 4), None, 1, -100, torch.tensor(4.0).to(t.dtype)),
    ),
    Row(A.nll_loss2d_forward.default, lambda t: (t(2, 3, 4, 1), t.below(3, 2, 4, 1), None, 1, 0)),
]  # fmt: skip

REDUCTIONS = [
    Row(A.sum.default, lambda t: (t.within(0, 1, 7, 40),)),
    Row(A.sum.dim_IntList, lambda t: (t(7, 40, 3), [1], True)),
    Row(A.mean.default, lambda t: (t(7, 40) + 1,)),
    Row(A.mean.dim, lambda t: (t(7, 40, 3), [0, 2])),
    Row(A.var.correction, lambda t: (t(7, 40) + 3, [1]), {"correction": 0}),
    Row(A.var_mean.correction, lambda t: (t(7, 40) + 3, [0]), {"keepdim": True}),
    Row(A.std.correction, lambda t: (t(7, 40),)),
    Row(A.amax.default, lambda t: (t(7, 4), [1])),
    Row(A.amin.default, lambda t: (t(7, 4), [0], True)),
    Row(A.max.default, lambda t: (t(7, 4),)),
    Row(A.max.dim, lambda t: (t(7, 4), 1)),
    Row(A.min.dim, lambda t: (t(7, 4), 0, True)),
    Row(A.aminmax.default, lambda t: (t(7, 4),), {"dim": 1}),
    Row(A.argmax.default, lambda t: (t(7, 4), 1)),
    Row(A.argmin.default, lambda t: (t(7, 4),)),
    Row(A.sort.default, lambda t: (t(7, 4), 0, True)),
    Row(A.topk.default, lambda t: (t(7, 4), 2)),
    Row(A.kthvalue.default, lambda t: (t(7, 4), 2)),
    Row(A.median.dim, lambda t: (t(7, 5), 1)),
    Row(A.median.default, lambda t: (t(7, 5),)),
    Row(A.cummax.default, lambda t: (t(7, 5), 0)),
    Row(A.cumsum.default, lambda t: (t(7, 40), 1)),
    Row(A.cumprod.default, lambda t: (t(7, 5), 1)),
    Row(A.prod.default, lambda t: (t(7),)),
    Row(A.prod.dim_int, lambda t: (t(7, 4), 1)),
    Row(A.logsumexp.default, lambda t: (t(7, 4), [1])),
    Row(A.linalg_vector_norm.default, lambda t: (t(7, 4),)),
    Row(A.linalg_vector_norm.default, lambda t: (t(7, 4), 1, [0])),
    Row(A.linalg_vector_norm.default, lambda t: (t(7, 4), 3, [0]), dtypes=HIGH),
    Row(A.linalg_vector_norm.default, lambda t: (t(7, 4), float("inf"), [1], True)),
    Row(A.any.dim, lambda t: (t(7, 4) > 0.9, 1)),
    Row(A.all.default, lambda t: (t(7, 4),)),
    Row(A._softmax.default, lambda t: (t(7, 40) * 3, 1, False)),
    Row(A._log_softmax.default, lambda t: (t(7, 40) * 3, 0, False)),
    Row(A._softmax_backward_data.default, lambda t: softmax_backward(t, torch.softmax)),
    Row(A._log_softmax_backward_data.default, lambda t: softmax_backward(t, torch.log_softmax)),
    Row(A.dist.default, lambda t: (t(7, 5), t(7, 5))),
    Row(A.trace.default, lambda t: (t(5, 5),), dtypes=HIGH),
]  # fmt: skip

PRODUCTS = [
    Row(A.mm.default, lambda t: (t(4, 70), t(70, 5))),
    Row(A.bmm.default, lambda t: (t(3, 4, 7), t(3, 7, 5))),
    Row(A.mv.default, lambda t: (t(4, 70), t(70))),
    Row(A.dot.default, lambda t: (t(70), t(70))),
    Row(A.addmm.default, lambda t: (t(5), t(4, 70), t(70, 5))),
    Row(A.addmm.default, lambda t: (t(5), t(4, 7), t(7, 5)), {"alpha": 0.3, "beta": -0.7}),
    Row(A.addmv.default, lambda t: (t(4), t(4, 7), t(7))),
    Row(A.baddbmm.default, lambda t: (t(3, 4, 5), t(3, 4, 7), t(3, 7, 5))),
    Row(A.addbmm.default, lambda t: (t(4, 5), t(3, 4, 7), t(3, 7, 5))),
    Row(A.addr.default, lambda t: (t(4, 5), t(4), t(5))),
    Row(A.linear.default, lambda t: (t(2, 3, 7), t(5, 7), t(5))),
    Row(A.matmul.default, lambda t: (t(2, 3, 7), t(7))),
    Row(A.linalg_cross.default, lambda t: (t(4, 3), t(4, 3))),
    Row(A._trilinear.default, lambda t: (t(2, 3), t(4, 3, 5), t(2, 5), [1, 3], [0], [1, 2], [2])),
    Row(A._cdist_forward.default, lambda t: (t(4, 3), t(5, 3), 2.0, None), dtypes=HIGH),
    Row(A._cdist_forward.default, lambda t: (t(30, 3), t(5, 3), 2.0, None), dtypes=HIGH),
    Row(A._cdist_forward.default, lambda t: (t(4, 3), t(5, 3), 1.0, None), dtypes=HIGH),
    Row(A._cdist_forward.default, lambda t: (t(4, 3), t(5, 3), 3.0, None), dtypes=HIGH),
]  # fmt: skip


def softmax_backward(t: Any, function: Any) -> tuple[Any, ...]:
    return t(7, 40), function(t(7, 40), 1), 1, t.dtype


@every_type(ELEMENTWISE + REDUCTIONS + PRODUCTS)
def test_a_call(row: Row, dtype: torch.dtype) -> None:
    require_bounds(row, dtype)
