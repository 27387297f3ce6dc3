"""Rows of the layers that normalize."""

from collections.abc import Callable, Mapping
from typing import Any

from torch_parity import manual
from torch_parity.compare.bounds import norm_kernels
from torch_parity.compare.register.row import Operation, Part
from torch_parity.compare.register.samples import channels_and_statistics, normal, off_centre


def _folded(forward: str, backward: str = "") -> Mapping[Part, Callable[..., Any]]:
    """The second formulas of a norm."""
    names: dict[Part, str] = {"forward": forward, "backward": backward}
    return {part: getattr(norm_kernels, name) for part, name in names.items() if name}


AFFINE = ("input", "weight", "bias")
IMAGES = off_centre(input=(3, 6, 2, 5), weight=(6,), bias=(6,))
STATE = {"updated_mean": "running_mean", "updated_var": "running_var"}

ROWS = (
    Operation(
        manual.layer_norm, "layer", off_centre(input=(4, 3, 5), weight=(3, 5), bias=(3, 5)),
        AFFINE, ("out",), ({"eps": 1e-5}, {"eps": 0.3}), module="LayerNorm",
        also=_folded("layer_norm", "layer_norm_backward"),
    ),
    Operation(
        manual.rms_norm, "layer", normal(input=(4, 3, 5), weight=(5,)), AFFINE[:2], ("out",),
        ({"eps": 1e-6}, {"eps": 0.3}), module="RMSNorm",
    ),
    Operation(
        manual.group_norm, "layer", IMAGES, AFFINE, ("out",),
        ({"num_groups": 2, "eps": 1e-5}, {"num_groups": 3, "eps": 0.3}), module="GroupNorm",
        also=_folded("group_norm", "group_norm_backward"),
    ),
    Operation(
        manual.batch_norm, "layer", channels_and_statistics, AFFINE,
        ("out", *STATE), tuple(
            {"training": training, "momentum": momentum, "eps": eps}
            for training in (True, False) for momentum, eps in ((0.1, 1e-5), (0.3, 0.2))
        ),
        STATE, module=("BatchNorm1d", "BatchNorm2d"), also=_folded("batch_norm"),
    ),
)  # fmt: skip
