"""The errors of the gradients as one image per layer: black is right to the last digit.

One row per unit; one column per input, and the bias in the last column. The scale is logarithmic,
from 1e-17 (black) to 1 (white) of the tensor's largest entry.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from torch_parity.compare.gradients.gradcheck import Checked

LOWEST = -17.0
COLUMNS = 5  # of images in one row


def layers(errors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The |g - n| of all parameters of a layer side by side, by its name    # -> [n_out, ...]"""
    parts: dict[str, list[np.ndarray]] = {}
    for name, error in errors.items():
        path, dot, _ = name.rpartition(".")
        layer = path if dot else f"layer {name[1:]}"
        parts.setdefault(layer, []).append(error.reshape(len(error), -1))
    return {layer: np.column_stack(of) for layer, of in parts.items()}


def brightness(errors: np.ndarray) -> np.ndarray:
    """Between 0 and 1, as many as there are errors"""
    with np.errstate(divide="ignore"):
        exponent = np.nan_to_num(np.log10(errors), nan=0.0)
    return np.clip(1 - exponent / LOWEST, 0, 1)


def write(folder: Path, checks: list[Checked]) -> None:
    """TensorBoard images, and error.png."""
    images = [
        (c, side, layer, brightness(errors))
        for c in checks
        for side, of_side in c.errors.items()
        for layer, errors in layers(of_side).items()
    ]
    with SummaryWriter(str(folder)) as writer:
        for c, side, layer, image in images:
            writer.add_image(f"gradient error/{side}/{layer}", image[None], c.after)
    columns = min(COLUMNS, len(layers(next(iter(checks[0].errors.values())))))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(3.2 * columns + 1, 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for (c, side, layer, image), ax in zip(images, axes.flat, strict=False):
        drawn = ax.imshow(
            LOWEST * (1 - image), vmin=LOWEST, vmax=0, aspect="auto", interpolation="nearest"
        )
        ax.set_title(f"{side}, {layer}, after {c.after} steps", fontsize=9)
        ax.set(xlabel="input, bias last", ylabel="unit")
    for ax in axes.flat[len(images) :]:
        ax.set_axis_off()
    figure.colorbar(drawn, ax=axes, label="log10 of |g - n| / largest |n|")
    figure.savefig(folder / "error.png", dpi=110)


def write_scan(folder: Path, scan: Mapping[float, float]) -> None:
    """epsilon.png"""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    ax = figure.subplots()
    ax.loglog(list(scan), list(scan.values()), marker="o")
    ax.set(xlabel="epsilon", ylabel="relative norm of the error")
    ax.set_title("rounding on the left, truncation on the right", fontsize=10)
    figure.savefig(folder / "epsilon.png", dpi=110)
