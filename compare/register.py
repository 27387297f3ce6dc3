"""The register: one row for each operation, and the only place that knows about it.

A new operation is one file in manual/ops/ or manual/losses/, one of the same name in torch_ref/,
and one row here. What it takes and makes is read off its two functions; the judge's replay, the
rounding bounds, the backward of every model, the gradient checks, modules, trace files, `Case` and
the docs' tables follow from the row. Nothing here imports torch: the command line lists operations
without waiting for it.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

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
    twin_module,
    units_and_mask,
)
from torch_parity.manual.recording import (
    by_name,
    input_names,
    option_names,
    takes_any_number,
)
from torch_parity.torch_ref.operations import ADDED as added_in_torch

Kind = Literal[
    "layer", "activation", "dropout", "arithmetic", "reduction", "product", "layout", "pooling",
    "loss", "penalty",
]  # fmt: skip
Item = TypeVar("Item")
Part = Literal["forward", "backward", "backward_parameters"]


@dataclass(frozen=True)
class Operation:
    """One operation.

    forward(*inputs, *, **options) returns the outputs; its positional parameters are tensors, its
    keyword-only ones options. Right below it stands <name>_backward, which asks for what it needs
    by the names of its parameters: an output's gradient (d and the output's name), an output, an
    input, an option. It returns the gradients of `differentiable`, in that order. A loss takes no
    upstream gradient. A last parameter *tensors stands for any number of inputs; a backward that
    takes *d<output> is that of any number of outputs. <name>_backward_parameters, where there is
    one, is the backward without the gradient of the first input.

    state pairs an output with the input that it replaces (running statistics). module is the class
    whose modules do the same (of torch.nn, its name, or several names). twin(**options) is torch's
    side, a callable on the same inputs; by default the function of the same name in torch_ref/.
    also holds a second right formula of the forward or of a backward, with the same parameters:
    torch may compose the operation in another way, which rounds more. samples(rng, dtype) draws
    inputs: not square, more than one sample, no zeros where there need be none; options are the
    ones to test with.
    """

    forward: Callable[..., Any]
    kind: Kind
    samples: Draw
    differentiable: tuple[str, ...]
    outputs: tuple[str, ...]
    options: tuple[Mapping[str, Any], ...] = ({},)
    state: Mapping[str, str] = field(default_factory=dict)
    module: str | type | tuple[str, ...] = ""
    torch: Callable[..., Callable[..., Any]] | None = None
    also: Mapping[Part, Callable[..., Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """That of the hand-written function."""
        return self.forward.__name__

    @property
    def backward(self) -> Callable[..., Any]:
        """The function right below forward."""
        return getattr(sys.modules[self.forward.__module__], f"{self.name}_backward")

    @property
    def backward_parameters(self) -> Callable[..., Any] | None:
        """The backward without the gradient of the first input, where there is one."""
        home = sys.modules[self.forward.__module__]
        return getattr(home, f"{self.name}_backward_parameters", None)

    @property
    def twin(self) -> Callable[..., Callable[..., Any]]:
        """twin(**options) is torch's side, a callable on the same inputs as tensors."""
        return self.torch or getattr(twin_module(self.forward), self.name)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The names of its tensors, in order; the last may stand for any number of them."""
        return input_names(self.forward)

    @cached_property
    def any_number(self) -> bool:
        """Whether it takes any number of tensors."""
        return takes_any_number(self.forward)

    @cached_property
    def option_names(self) -> tuple[str, ...]:
        """The names of its options."""
        return option_names(self.forward)

    @property
    def module_name(self) -> str:
        """What the class of torch's modules is called; the first of several."""
        first = self.module[0] if isinstance(self.module, tuple) else self.module
        return first if isinstance(first, str) else first.__name__

    def is_done_by(self, kind: type) -> bool:
        """Whether modules of this very class do it (a subclass may do anything)."""
        if isinstance(self.module, type):
            return kind is self.module
        names = (self.module,) if isinstance(self.module, str) else self.module
        return kind.__module__.partition(".")[0] == "torch" and kind.__name__ in names

    @property
    def is_loss(self) -> bool:
        """Whether its backward begins the chain: it takes no upstream gradient."""
        return self.kind == "loss"

    @cached_property
    def any_outputs(self) -> bool:
        """Whether it makes any number of tensors: its backward takes as many gradients."""
        last = input_names(self.backward)[-1]
        return takes_any_number(self.backward) and last == f"d{self.outputs[-1]}"

    @property
    def arriving(self) -> tuple[str, ...]:
        """The gradients that arrive at its outputs: dout for out, none for a state."""
        return tuple(f"d{name}" for name in self.outputs if name not in self.state)

    def differentiated(self, inputs: Sequence[Item]) -> tuple[Item, ...]:
        """Those of its inputs that have a gradient, in the order in which the backward makes it."""
        given = by_name(self.forward, inputs)
        return tuple(x for name in self.differentiable for x in given.get(name, ()))

    def made(self, outputs: Sequence[Item]) -> dict[str, tuple[Item, ...]]:
        """What stands for each of its outputs' names: one tensor, or any number of them."""
        return self._named(self.outputs, outputs)

    def continued(self, outputs: Sequence[Item]) -> list[Item]:
        """Those of its outputs that a gradient arrives at: all but the new state."""
        made = self.made(outputs).items()
        return [x for name, tensors in made if name not in self.state for x in tensors]

    def asked(
        self,
        backward: Callable[..., Any],
        inputs: Sequence[Item],
        outputs: Sequence[Item],
        upstream: Sequence[Item],
    ) -> tuple[Item, ...]:
        """What this backward is to be given, upstream being the gradients that arrive."""
        known = by_name(self.forward, inputs) | self.made(outputs)
        known |= self._named(self.arriving, upstream)
        return tuple(x for name in input_names(backward) for x in known[name])

    def _named(
        self, names: tuple[str, ...], tensors: Sequence[Item]
    ) -> dict[str, tuple[Item, ...]]:
        if self.any_outputs:
            return {names[0]: tuple(tensors)}
        return {name: (x,) for name, x in zip(names, tensors, strict=False)}

    def gradients(
        self, upstream: Sequence[Any], inputs: Sequence[Any], options: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """The backward by hand, given the gradients that arrive at the outputs: none for a loss.

        A penalty's gradient is that of one weight alone.
        """
        if self.kind == "penalty":
            (W,) = inputs
            return (self.backward(W * 0, W, **options),)
        outputs: Any = ()
        if set(self.outputs).intersection(input_names(self.backward)):
            outputs = self.forward(*inputs, **options)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        taken = {n: v for n, v in options.items() if n in option_names(self.backward)}
        found = self.backward(*self.asked(self.backward, inputs, outputs, upstream), **taken)
        return found if isinstance(found, tuple) else (found,)


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


@dataclass(frozen=True)
class OptimizerRow:
    """One optimizer: its hand-written class, whose fields are its options and whose slots are what
    it remembers, and its function update(W, dW, *slots, **options) -> W', *slots'."""

    by_hand: type
    update: Callable[..., Any]

    @property
    def name(self) -> str:
        """That of the hand-written function."""
        return self.update.__name__

    @property
    def slots(self) -> tuple[str, ...]:
        """What it remembers, but for the step counter t."""
        return tuple(slot for slot in self.by_hand.slots if slot != "t")  # type: ignore[attr-defined]

    @property
    def option_names(self) -> tuple[str, ...]:
        """The constants of its class."""
        return tuple(f.name for f in fields(self.by_hand))

    @property
    def counts(self) -> bool:
        """Whether it counts its steps."""
        return "t" in self.by_hand.slots  # type: ignore[attr-defined]


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
