"""Mistakes on images: the kernel's direction, padding, pooling."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from torch_parity.compare.causes.cause import Cause, Effect, Evidence, by, on, one
from torch_parity.compare.flow.nodes import Node
from torch_parity.manual.windows import pair

CONVOLUTIONS = ("conv2d", "conv2d_no_bias")


def _flipped(conv: str) -> Callable[..., Any]:
    def formula(f: Any, x: Any, weight: Any, *bias: Any, **options: Any) -> Any:
        return f[conv](x, f["flip"](weight, (2, 3)), *bias, **options)

    return formula


def _flipped_backward(conv: str) -> Callable[..., Any]:
    """The gradients of _flipped."""

    def formula(f: Any, dout: Any, x: Any, weight: Any, **options: Any) -> Any:
        turned = f["flip"](weight, (2, 3))
        dinput, dweight, *dbias = f[f"{conv}_backward"](dout, x, turned, **options)
        return dinput, f["flip"](dweight, (2, 3)), *dbias

    return formula


def _unturned_backward(conv: str) -> Callable[..., Any]:
    """dinput as a convolution of dout with the weight as it is; it has to be turned round."""

    def formula(f: Any, dout: Any, x: Any, weight: Any, **options: Any) -> Any:
        _, *others = f[f"{conv}_backward"](dout, x, weight, **options)
        dinput, *_ = f[f"{conv}_backward"](dout, x, f["flip"](weight, (2, 3)), **options)
        return dinput, *others

    return formula


def _on_one_side(node: Node, e: Evidence) -> Iterable[Node]:
    """All padding after the image, as TensorFlow's SAME with a stride has most of it, or before."""
    ph, pw = pair(node.options["padding"])
    if not (ph or pw):
        return []
    conv = node.operation.removesuffix("_backward")
    frames = [(0, 2 * pw, 0, 2 * ph), (2 * pw, 0, 2 * ph, 0)]
    if e.rng is not None:
        frames = [frames[e.drawn.setdefault("frame", int(e.rng.integers(2)))]]

    def forward(f: Any, x: Any, weight: Any, *bias: Any, frame: Any, **options: Any) -> Any:
        framed = f["pad"](x, pad=frame, value=0.0)
        return f[conv](framed, weight, *bias, **{**options, "padding": 0})

    def backward(f: Any, dout: Any, x: Any, weight: Any, *, frame: Any, **options: Any) -> Any:
        framed = f["pad"](x, pad=frame, value=0.0)
        how = {**options, "padding": 0}
        dframed, *others = f[f"{conv}_backward"](dout, framed, weight, **how)
        return f["pad_backward"](dframed, x, pad=frame), *others

    formula = backward if node.forward else forward
    return [
        replace(node, formula=formula, options={**node.options, "frame": frame}) for frame in frames
    ]


def _counted_otherwise(node: Node, e: Evidence) -> Iterable[Node]:
    included = not node.options["count_include_pad"]
    return [replace(node, options={**node.options, "count_include_pad": included})]


def _to_all(f: Any, dout: Any, x: Any, **options: Any) -> Any:
    """dinput = dout at every number of a window that equals its greatest."""
    greatest = f["max_pool2d"](x, **options)
    (kh, kw), (ph, pw), (dh, dw) = (
        pair(options[name]) for name in ("kernel_size", "padding", "dilation")
    )
    sh, sw = pair(options["stride"] or options["kernel_size"])
    frame = (pw, pw, ph, ph)
    seen, dseen = f["pad"](x, pad=frame, value=float("-inf")), f["pad"](x * 0, pad=frame, value=0.0)
    h, w = greatest.shape[2:]
    for i in range(kh):
        for j in range(kw):
            at = (
                slice(None), slice(None),
                slice(i * dh, i * dh + (h - 1) * sh + 1, sh),
                slice(j * dw, j * dw + (w - 1) * sw + 1, sw),
            )  # fmt: skip
            dseen[at] = dseen[at] + dout * (seen[at] == greatest)
    return f["pad_backward"](dseen, x, pad=frame)


CAUSES = (
    Cause(
        "kernel_flipped",
        "A convolution turns its kernel round, or its backward does not where it has to.",
        "out = (windows * weight).sum(...)  # the kernel as it is, as in every framework",
        "F.conv2d(x, weight, bias)  # not weight.flip(2, 3)",
        tuple(
            way
            for conv in CONVOLUTIONS
            for way in (
                one(by(_flipped(conv)), on(conv)),
                one(by(_flipped_backward(conv)), on(f"{conv}_backward")),
                one(by(_unturned_backward(conv)), on(f"{conv}_backward")),
            )
        ),
    ),
    Cause(
        "padding_asymmetric",
        "All padding is on one side of the image.",
        "np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))",
        "nn.Conv2d(c_in, c_out, k, padding=p)  # p on both sides",
        tuple(
            (Effect(on(name), _on_one_side),)
            for conv in CONVOLUTIONS
            for name in (conv, f"{conv}_backward")
        ),
    ),
    Cause(
        "padding_counted",
        "Average pooling counts its padding where it should not, or does not where it should.",
        "avg_pool2d(x, kernel_size=k, padding=p, count_include_pad=True)  # or False",
        "nn.AvgPool2d(k, padding=p, count_include_pad=True)  # or False",
        tuple((Effect(on(n), _counted_otherwise),) for n in ("avg_pool2d", "avg_pool2d_backward")),
    ),
    Cause(
        "max_pool_gradient_to_all",
        "Max pooling hands the gradient to all of several greatest numbers of a window.",
        "first = windows.argmax(axis)  # not windows == windows.max(axis)",
        "nn.MaxPool2d(k)  # and leave its gradient to autograd",
        (one(by(_to_all), on("max_pool2d_backward")),),
    ),
)
