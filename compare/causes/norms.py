"""Mistakes in normalization: eps, the variance, the axes, the way back, running statistics.

The judge of torch modules names some of them as well, by the same names (aten/causes/norms.py).
There it finds them among the ATen calls of two programs; here each is one formula of one operation.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from torch_parity.compare.causes.cause import Cause, Change, Effect, Evidence, Where, one
from torch_parity.compare.flow.functions import split
from torch_parity.compare.flow.nodes import Node

NORMS = ("layer_norm", "rms_norm", "group_norm", "batch_norm")
USUAL_EPS = (1e-5, 1e-6, 1e-12, 1e-8, 1e-3)
Axes = tuple[int, ...]


@dataclass(frozen=True)
class Knobs:
    """What a norm may do otherwise. axes: "usual", or those of another norm. through_mean and
    through_variance: whether the gradient passes through these."""

    outside: bool = False
    unbiased: bool = False
    axes: str = "usual"
    affine: bool = True
    through_mean: bool = True
    through_variance: bool = True


@dataclass
class Norm:
    """One norm on its input, with these knobs: NumPy's arrays, torch's tensors or Bounded."""

    name: str
    f: Any
    x: Any
    weight: Any
    running: tuple[Any, ...]
    options: dict[str, Any]
    knobs: Knobs

    @property
    def shaped(self) -> tuple[int, ...]:
        """The input's shape, with an axis for the groups of a group norm."""
        if self.name != "group_norm":
            return tuple(self.x.shape)
        groups = self.options["num_groups"]
        return (self.x.shape[0], groups, self.x.shape[1] // groups, *self.x.shape[2:])

    @property
    def axes(self) -> Axes:
        """Of the statistics."""
        if self.name == "batch_norm":
            usual, other = (0, *range(2, self.x.ndim)), tuple(range(1, self.x.ndim))
        elif self.name == "group_norm":
            usual, other = tuple(range(2, len(self.shaped))), tuple(range(3, len(self.shaped)))
        else:
            first = self.x.ndim - self.weight.ndim
            usual, other = tuple(range(first, self.x.ndim)), tuple(range(first))
        return usual if self.knobs.axes == "usual" else other

    def per_channel(self, parameter: Any) -> Any:
        """A weight or bias, to be multiplied with the input."""
        if self.name in ("layer_norm", "rms_norm"):
            return parameter
        return parameter.reshape((-1, *(1,) * (self.x.ndim - 2)))

    def parts(self) -> tuple[Any, Any, Any, int]:
        """The centred input, what it is divided by, sqrt(var + eps) or sqrt(var), and the number
        that var is divided by."""
        x, axes, eps = self.x.reshape(self.shaped), self.axes, self.options["eps"]
        n = 1
        for axis in axes:
            n *= x.shape[axis]
        n -= self.knobs.unbiased
        if self.running:
            mean, var = (self.per_channel(s) for s in self.running)
            centred = x - mean
        else:
            rms = self.name == "rms_norm"
            centred = x if rms else x - x.mean(axis=axes, keepdims=True)
            var = (centred * centred).sum(axis=axes, keepdims=True) / n
        root = self.f["sqrt"](var if self.knobs.outside else var + eps)
        return centred, root + eps if self.knobs.outside else root, root, n

    def forward(self, bias: Any) -> Any:
        """out"""
        centred, divisor, _, _ = self.parts()
        out = (centred / divisor).reshape(tuple(self.x.shape))
        if not self.knobs.affine:
            return out
        out = out * self.per_channel(self.weight)
        return out if bias is None else out + self.per_channel(bias)

    def backward(self, dout: Any) -> tuple[Any, ...]:
        """dinput, dweight, and dbias where there is one"""
        centred, divisor, root, n = self.parts()
        d = (dout * self.per_channel(self.weight)).reshape(self.shaped)
        left = d
        if not self.running:
            if self.knobs.through_mean and self.name != "rms_norm":
                left = left - d.mean(axis=self.axes, keepdims=True)
            if self.knobs.through_variance:
                along = (d * centred).sum(axis=self.axes, keepdims=True)
                left = left - centred * along / (divisor * root) / n
        xhat = (centred / divisor).reshape(tuple(self.x.shape))
        dinput = (left / divisor).reshape(tuple(self.x.shape))
        channels = self.name in ("group_norm", "batch_norm")
        others = (0, *range(2, self.x.ndim)) if channels else range(self.x.ndim - self.weight.ndim)
        dweight, dbias = (g.sum(axis=tuple(others)) for g in (dout * xhat, dout))
        return (dinput, dweight) if self.name == "rms_norm" else (dinput, dweight, dbias)


def _turned(name: str, **knobs: Any) -> Change:
    """The node with these knobs of its norm turned; state stays right."""

    def forward(f: Any, x: Any, *given: Any, **options: Any) -> Any:
        *running, weight, bias = given if name != "rms_norm" else (*given, None)
        training = options.get("training", True)
        norm = Norm(name, f, x, weight, () if training else tuple(running), options, Knobs(**knobs))
        out = norm.forward(bias)
        return (out, *f[name](x, *given, **options)[1:]) if name == "batch_norm" else out

    def backward(f: Any, dout: Any, x: Any, *given: Any, **options: Any) -> Any:
        *running, weight = given
        training = options.get("training", True)
        norm = Norm(name, f, x, weight, () if training else tuple(running), options, Knobs(**knobs))
        return norm.backward(dout)

    return lambda node, e: [replace(node, formula=backward if node.forward else forward)]


def _turn(**knobs: Any) -> Change:
    def change(node: Node, e: Evidence) -> Iterable[Node]:
        return _turned(split(node.operation)[0], **knobs)(node, e)

    return change


def _is(*names: str, backward: bool, computes: bool = False) -> Where:
    """These norms' forward or backward; computes: only where they compute their statistics."""

    def where(node: Node, e: Evidence) -> bool:
        name, suffix = split(node.operation)
        used = node.options.get("training", True)
        return name in names and bool(suffix) == backward and (used or not computes)

    return where


def _both(change: Change, *names: str, computes: bool = False) -> tuple[tuple[Effect, ...], ...]:
    """In the forward, or in the backward, or in each."""
    return tuple(
        one(change, _is(*names, backward=backward, computes=computes)) for backward in (False, True)
    )


def _backward(**knobs: Any) -> tuple[tuple[Effect, ...], ...]:
    of = NORMS if "through_mean" not in knobs else tuple(n for n in NORMS if n != "rms_norm")
    return (one(_turn(**knobs), _is(*of, backward=True, computes=True)),)


def _other_eps(node: Node, e: Evidence) -> Iterable[Node]:
    """One of those that frameworks and models use."""
    others = [eps for eps in USUAL_EPS if eps != node.options["eps"]]
    if e.rng is not None:
        others = [e.drawn.setdefault("eps", float(e.rng.choice(others)))]
    return [replace(node, options={**node.options, "eps": eps}) for eps in others]


def _other_mode(node: Node, e: Evidence) -> Iterable[Node]:
    return [replace(node, options={**node.options, "training": not node.options["training"]})]


def _running(reversed_: bool, unbiased: bool) -> Change:
    """The running statistics updated in another way; out stays right."""

    def formula(f: Any, x: Any, mean: Any, var: Any, *affine: Any, **options: Any) -> Any:
        out, updated_mean, _ = f["batch_norm"](x, mean, var, *affine, **options)
        new = options["momentum"]
        old, n = 1 - new, x.shape[0]
        for places in x.shape[2:]:
            n *= places
        axes = (0, *range(2, x.ndim))
        if reversed_:
            old, new = new, old
            updated_mean = old * mean + new * x.mean(axis=axes)
        centred = x - x.mean(axis=axes, keepdims=True)
        of_batch = (centred * centred).sum(axis=axes) / (n - 1 if unbiased else n)
        return out, updated_mean, old * var + new * of_batch

    return lambda node, e: [replace(node, formula=formula)]


TRAINING = _is("batch_norm", backward=False, computes=True)
MODULE = "nn.LayerNorm(n), nn.BatchNorm2d(c)  # and leave the gradient to autograd"

CAUSES = (
    Cause(
        "norm_eps_outside_root",
        "A norm adds eps to the deviation, not to the variance under the root.",
        "std = np.sqrt(var + eps)  # not np.sqrt(var) + eps",
        "nn.LayerNorm(n, eps=eps)  # by hand: torch.sqrt(var + eps)",
        _both(_turn(outside=True), *NORMS),
    ),
    Cause(
        "norm_eps_value",
        "A norm has another eps.",
        "layer_norm(x, weight, bias, eps=1e-5)  # the eps that the model was trained with",
        "nn.LayerNorm(n, eps=1e-5)  # the eps that the model was trained with",
        _both(_other_eps, *NORMS),
    ),
    Cause(
        "unbiased_variance",
        "A norm divides by the root of the unbiased variance, with n - 1.",
        "var = ((x - mean) ** 2).mean(axes)  # divided by n",
        "x.var(dim, unbiased=False)  # as nn.LayerNorm and nn.BatchNorm2d",
        _both(_turn(unbiased=True), "layer_norm", "group_norm", "batch_norm", computes=True),
    ),
    Cause(
        "norm_axes",
        "A norm takes its statistics over other axes than its own.",
        "mean = x.mean((0, 2, 3))  # batch norm; layer norm: x.mean(-1)",
        "nn.BatchNorm2d(c)  # over samples and places; nn.LayerNorm(n): over each sample",
        _both(_turn(axes="other"), *NORMS, computes=True),
    ),
    Cause(
        "norm_without_affine",
        "A norm leaves out its weight and its bias.",
        "y = xhat * weight + bias",
        "nn.LayerNorm(n, elementwise_affine=True)  # nn.BatchNorm2d(c, affine=True)",
        (one(_turn(affine=False), _is(*NORMS, backward=False)),),
    ),
    Cause(
        "norm_gradient_without_mean",
        "The backward of a norm leaves out what comes through the mean.",
        "dx = (dxhat - dxhat.mean(axes) - xhat * (dxhat * xhat).mean(axes)) / std",
        MODULE,
        _backward(through_mean=False),
    ),
    Cause(
        "norm_gradient_without_variance",
        "The backward of a norm leaves out what comes through the variance.",
        "dx = (dxhat - dxhat.mean(axes) - xhat * (dxhat * xhat).mean(axes)) / std",
        MODULE,
        _backward(through_variance=False),
    ),
    Cause(
        "norm_statistics_detached",
        "The backward of a norm takes its mean and variance for constants.",
        "dx = (dxhat - dxhat.mean(axes) - xhat * (dxhat * xhat).mean(axes)) / std",
        "mean, var = x.mean(dim), x.var(dim, unbiased=False)  # without detach()",
        _backward(through_mean=False, through_variance=False),
    ),
    Cause(
        "train_eval_mode",
        "Batch norm trains where it should evaluate, or evaluates where it should train.",
        "batch_norm(x, mean, var, weight, bias, training=True)  # False to evaluate",
        "net.train()  # net.eval() to evaluate",
        _both(_other_mode, "batch_norm"),
    ),
    Cause(
        "running_momentum_reversed",
        "The running statistics keep `momentum` of the old value, as the course's beta does.",
        "mean = (1 - momentum) * mean + momentum * batch_mean",
        "nn.BatchNorm2d(c, momentum=1 - beta)",
        (one(_running(reversed_=True, unbiased=True), TRAINING),),
    ),
    Cause(
        "running_variance_biased",
        "The running variance takes the biased variance of the batch, divided by n.",
        "var = (1 - momentum) * var + momentum * batch_var * n / (n - 1)",
        "nn.BatchNorm2d(c)  # its running_var takes x.var(unbiased=True)",
        (one(_running(reversed_=False, unbiased=False), TRAINING),),
    ),
)
