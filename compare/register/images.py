"""Rows of the operations on images: convolutions, pooling, padding."""

from collections.abc import Callable, Mapping
from typing import Any

from torch_parity import manual
from torch_parity.compare.register.row import Kind, Operation
from torch_parity.compare.register.samples import normal


def _on_images(
    forward: Callable[..., Any], kind: Kind, module: str, *options: Mapping[str, Any]
) -> Operation:
    """An operation on images that has no parameters."""
    images = normal(input=(2, 3, 5, 6))
    return Operation(forward, kind, images, ("input",), ("out",), options, module=module)


AFFINE = ("input", "weight", "bias")
UNEVEN = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}

ROWS = (
    Operation(
        manual.conv2d, "layer", normal(input=(2, 4, 7, 8), weight=(6, 2, 3, 2), bias=(6,)),
        AFFINE, ("out",), (
            {"stride": 1, "padding": 0, "dilation": 1, "groups": 2},
            {**UNEVEN, "groups": 2},
            {"stride": (3, 2), "padding": (0, 1), "dilation": (2, 1), "groups": 2},
        ),
        module="Conv2d",
    ),
    Operation(
        manual.conv2d_no_bias, "layer", normal(input=(2, 4, 7, 8), weight=(6, 2, 3, 2)),
        AFFINE[:2], ("out",),
        ({"stride": 1, "padding": 0, "dilation": 1, "groups": 2}, {**UNEVEN, "groups": 2}),
        module="Conv2d",
    ),
    Operation(
        manual.conv_transpose2d, "layer",
        normal(input=(2, 4, 3, 5), weight=(4, 3, 3, 2), bias=(6,)), AFFINE, ("out",), (
            {"stride": 1, "padding": 0, "output_padding": 0, "groups": 2, "dilation": 1},
            {**UNEVEN, "output_padding": (1, 0), "groups": 2},
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
