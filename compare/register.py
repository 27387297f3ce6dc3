"""The register: one row for each operation, and the only place that knows about it.

A new operation is one file in manual/ops/ or manual/losses/, one of the same name in torch_ref/,
and one row here. What it takes and makes is read off its two functions; the judge's replay, the
rounding bounds, the backward of every model, the gradient checks, modules, trace files, `Case` and
the docs' tables follow from the row. Nothing here imports torch: the command line lists operations
without waiting for it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch_parity import manual
from torch_parity.compare.bounds import kernels, norm_kernels
from torch_parity.compare.register_parts import (
    Draw,
    channels_and_statistics,
    dropout_twin,
    linear_no_bias_twin,
    linear_twin,
    normal,
    off_centre,
    penalty_twin,
    positive,
    probabilities_and_bits,
    rows_and_index,
    scores_and_bits,
    scores_and_classes,
    units_and_mask,
)
from torch_parity.compare.register_rows import Kind, Operation, OptimizerRow, Part
from torch_parity.manual.recording import input_names, option_names
from torch_parity.torch_ref.operations import ADDED as added_in_torch


def _activation(
    forward: Callable[..., Any],
    module: str,
    options: tuple[Mapping[str, Any], ...] = ({},),
) -> Operation:
    return Operation(
        forward, "activation", normal(z=(6, 5)), ("z",), ("a",), options, module=module
    )  # fmt: skip


def _elementary(
    forward: Callable[..., Any],
    samples: Draw,
    options: Iterable[Mapping[str, Any]] = ({},),
    kind: Kind = "arithmetic",
) -> Operation:
    inputs = input_names(forward)
    return Operation(forward, kind, samples, inputs, ("out",), tuple(options))


def _loss(forward: Callable[..., Any], module: str, samples: Draw) -> Operation:
    of = input_names(forward)[0]
    reductions = tuple({"reduction": r} for r in ("mean", "sum", "batchmean"))
    return Operation(forward, "loss", samples, (of,), ("loss",), reductions, module=module)


REDUCED = (
    {"dim": 1, "keepdim": False}, {"dim": -1, "keepdim": True}, {"dim": (0, 2), "keepdim": False},
    {"dim": None, "keepdim": False}, {"dim": (-2, 0), "keepdim": True},
)  # fmt: skip
ALONG = tuple({"dim": dim} for dim in (1, 0, 2, -1, -2))


def _folded(forward: str, backward: str = "") -> Mapping[Part, Callable[..., Any]]:
    """The second formulas of a norm."""
    names: dict[Part, str] = {"forward": forward, "backward": backward}
    return {part: getattr(norm_kernels, name) for part, name in names.items() if name}


def _norms() -> tuple[Operation, ...]:
    """Layers that normalize; the running statistics of batch norm are its state."""
    affine = ("input", "weight", "bias")
    images = off_centre(input=(3, 6, 2, 5), weight=(6,), bias=(6,))
    state = {"updated_mean": "running_mean", "updated_var": "running_var"}
    return (
        Operation(
            manual.layer_norm, "layer", off_centre(input=(4, 3, 5), weight=(3, 5), bias=(3, 5)),
            affine, ("out",), ({"eps": 1e-5}, {"eps": 0.3}), module="LayerNorm",
            also=_folded("layer_norm", "layer_norm_backward"),
        ),
        Operation(
            manual.rms_norm, "layer", normal(input=(4, 3, 5), weight=(5,)), affine[:2], ("out",),
            ({"eps": 1e-6}, {"eps": 0.3}), module="RMSNorm",
        ),
        Operation(
            manual.group_norm, "layer", images, affine, ("out",),
            ({"num_groups": 2, "eps": 1e-5}, {"num_groups": 3, "eps": 0.3}), module="GroupNorm",
            also=_folded("group_norm", "group_norm_backward"),
        ),
        Operation(
            manual.batch_norm, "layer", channels_and_statistics, affine,
            ("out", *state), tuple(
                {"training": training, "momentum": momentum, "eps": eps}
                for training in (True, False) for momentum, eps in ((0.1, 1e-5), (0.3, 0.2))
            ),
            state, module=("BatchNorm1d", "BatchNorm2d"), also=_folded("batch_norm"),
        ),
    )  # fmt: skip


def _on_images(
    forward: Callable[..., Any], kind: Kind, module: str, *options: Mapping[str, Any]
) -> Operation:
    """An operation on images that has no parameters."""
    images = normal(input=(2, 3, 5, 6))
    return Operation(forward, kind, images, ("input",), ("out",), options, module=module)


def _windowed() -> tuple[Operation, ...]:
    """Operations on images."""
    affine = ("input", "weight", "bias")
    uneven = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    return (
        Operation(
            manual.conv2d, "layer", normal(input=(2, 4, 7, 8), weight=(6, 2, 3, 2), bias=(6,)),
            affine, ("out",), (
                {"stride": 1, "padding": 0, "dilation": 1, "groups": 2},
                {**uneven, "groups": 2},
                {"stride": (3, 2), "padding": (0, 1), "dilation": (2, 1), "groups": 2},
            ),
            module="Conv2d",
        ),
        Operation(
            manual.conv_transpose2d, "layer",
            normal(input=(2, 4, 3, 5), weight=(4, 3, 3, 2), bias=(6,)), affine, ("out",), (
                {"stride": 1, "padding": 0, "output_padding": 0, "groups": 2, "dilation": 1},
                {**uneven, "output_padding": (1, 0), "groups": 2},
                {"stride": (3, 2), "padding": (0, 1), "output_padding": (2, 1), "groups": 2,
                 "dilation": (2, 1)},
            ),
            module="ConvTranspose2d",
        ),
        _on_images(
            manual.max_pool2d, "pooling", "MaxPool2d",
            {"kernel_size": 2, "stride": None, "padding": 0, "dilation": 1},
            {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)},
        ),
        _on_images(
            manual.avg_pool2d, "pooling", "AvgPool2d",
            {"kernel_size": 2, "stride": None, "padding": 0, "count_include_pad": True},
            *(
                {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "count_include_pad": counts}
                for counts in (True, False)
            ),
        ),
        _on_images(
            manual.adaptive_avg_pool2d, "pooling", "AdaptiveAvgPool2d",
            {"output_size": 1}, {"output_size": (3, 5)},
        ),
        _on_images(
            manual.pad, "arithmetic", "",
            {"pad": (2, 0, 1, 3), "value": 0.0}, {"pad": (1, 2), "value": -1.7},
        ),
    )  # fmt: skip


OPERATIONS: dict[str, Operation] = {
    row.name: row
    for row in (
        Operation(
            manual.linear, "layer", normal(x=(6, 5), W=(3, 5), b=(3,)), ("x", "W", "b"), ("z",),
            module="Linear", torch=linear_twin,
        ),
        Operation(
            manual.linear_no_bias, "layer", normal(x=(6, 5), W=(3, 5)), ("x", "W"), ("z",),
            torch=linear_no_bias_twin,
        ),
        Operation(
            manual.dropout, "dropout", units_and_mask, ("a",), ("h",),
            module="Dropout", torch=dropout_twin,
        ),
        _elementary(manual.add, normal(input=(4, 1, 5), other=(3, 1))),
        _elementary(manual.sub, normal(input=(4, 1, 5), other=(3, 1))),
        _elementary(manual.mul, normal(input=(3, 1), other=(4, 1, 5))),
        _elementary(manual.div, positive(input=(4, 1, 5), other=(3, 1))),
        _elementary(
            manual.pow, positive(input=(6, 5)),
            ({"exponent": exponent} for exponent in (2.0, 3.0, 0.5, -1.0)),
        ),
        _elementary(manual.exp, normal(input=(6, 5))),
        _elementary(manual.log, positive(input=(6, 5))),
        _elementary(manual.sum, normal(input=(4, 3, 5)), REDUCED, "reduction"),
        _elementary(manual.mean, normal(input=(4, 3, 5)), REDUCED, "reduction"),
        _elementary(manual.amax, normal(input=(4, 3, 5)), REDUCED, "reduction"),
        _elementary(manual.matmul, normal(input=(4, 1, 3, 6), other=(2, 6, 5)), kind="product"),
        _elementary(
            manual.reshape, normal(input=(4, 3, 5)),
            ({"shape": shape} for shape in ((6, 10), (-1, 5), (60,), (2, 2, 3, -1))), "layout",
        ),
        _elementary(
            manual.permute, normal(input=(4, 3, 5)),
            ({"dims": dims} for dims in ((1, 2, 0), (2, 1, 0), (0, -1, -2))), "layout",
        ),
        _elementary(
            manual.narrow, normal(input=(4, 3, 5)),
            ({"dim": 1, "start": 1, "length": 2}, {"dim": -1, "start": -4, "length": 3}), "layout",
        ),
        _elementary(
            manual.cat, normal(first=(4, 3, 5), second=(4, 2, 5), third=(4, 1, 5)),
            ({"dim": 1}, {"dim": -2}), "layout",
        ),
        replace(
            _elementary(
                manual.split, normal(input=(4, 3, 5)),
                ({"split_size": 2, "dim": 2}, {"split_size": (1, 3), "dim": 0},
                 {"split_size": (1, 2), "dim": -2}), "layout",
            ),
            outputs=("parts",),
        ),
        replace(
            _elementary(
                manual.index_select, rows_and_index, ({"dim": 0}, {"dim": 1}, {"dim": -1}), "layout"
            ),
            differentiable=("input",),
        ),
        Operation(
            manual.scale, "arithmetic", normal(input=(6, 5)), ("input",), ("out",),
            ({"factor": 0.3}, {"factor": -2.0}),
        ),
        *_norms(),
        *_windowed(),
        _activation(manual.sigmoid, "Sigmoid"),
        _activation(manual.tanh, "Tanh"),
        _activation(manual.relu, "ReLU"),
        _activation(
            manual.leaky_relu, "LeakyReLU", ({"negative_slope": 0.01}, {"negative_slope": 0.3})
        ),
        replace(
            _activation(manual.gelu, "GELU", ({"approximate": "none"}, {"approximate": "tanh"})),
            also={"forward": kernels.gelu, "backward": kernels.gelu_backward},
        ),
        _activation(manual.silu, "SiLU"),
        _activation(manual.elu, "ELU", ({"alpha": 1.0}, {"alpha": 0.3})),
        _activation(
            manual.softplus, "Softplus",
            ({"beta": 1.0, "threshold": 20.0}, {"beta": 0.4, "threshold": 2.0}),
        ),
        _activation(manual.identity, "Identity"),
        replace(_activation(manual.softmax, "Softmax", ALONG), samples=normal(z=(4, 3, 5))),
        replace(_activation(manual.log_softmax, "LogSoftmax", ALONG), samples=normal(z=(4, 3, 5))),
        _loss(manual.binary_cross_entropy, "BCELoss", probabilities_and_bits),
        _loss(manual.binary_cross_entropy_with_logits, "BCEWithLogitsLoss", scores_and_bits),
        _loss(manual.cross_entropy, "CrossEntropyLoss", scores_and_classes),
        _loss(manual.mse_loss, "MSELoss", normal(a=(6, 3), y=(6, 3))),
        Operation(
            manual.penalty, "penalty", normal(weights=(4, 7)), ("weights",), ("penalty",),
            ({"l1": 0.0, "l2": 0.7, "m": 11}, {"l1": 0.4, "l2": 0.0, "m": 11}), torch=penalty_twin,
        ),
    )
}  # fmt: skip


OPTIMIZERS: dict[str, OptimizerRow] = {
    row.name: row
    for row in (
        OptimizerRow(manual.SGD, manual.sgd),
        OptimizerRow(manual.Momentum, manual.momentum),
        OptimizerRow(manual.MomentumCourse, manual.momentum_course),
        OptimizerRow(manual.Adam, manual.adam),
    )
}


def of_kind(*kinds: Kind) -> tuple[str, ...]:
    """The names of the operations of these kinds, in the register's order."""
    return tuple(name for name, row in OPERATIONS.items() if row.kind in kinds)


def add(row: Operation) -> None:
    """Register an operation of your own.

    Raises:
        ValueError: the name is taken, or the functions do not fit what the row says of them.
    """
    if row.name in OPERATIONS:
        raise ValueError(f"the register has an operation {row.name!r} already")
    known = {*row.inputs, *row.outputs, *row.arriving}
    for name in input_names(row.backward):
        if name not in known:
            raise ValueError(
                f"{row.name}_backward asks for {name!r}, which is no input, output or gradient of "
                f"{row.name}: expected names of {', '.join(sorted(known))}"
            )
    if unknown := set(row.differentiable) - set(row.inputs):
        raise ValueError(f"{row.name} has no input {min(unknown)!r} to differentiate")
    for part, formula in row.also.items():
        first = getattr(row, part, None)
        expected = None if first is None else (input_names(first), option_names(first))
        if expected != (input_names(formula), option_names(formula)):
            raise ValueError(
                f"the second formula of {row.name}'s {part} takes other parameters than the first"
            )
    OPERATIONS[row.name] = row
    if row.torch is not None:
        added_in_torch[row.name] = row.torch
