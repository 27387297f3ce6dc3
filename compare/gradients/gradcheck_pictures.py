"""The errors of the gradients as one image per layer: black is right to the last digit.

One row per unit, one column per input, and the bias in the last column. The scale is logarithmic,
from 1e-17 (black) to 1 (white) of the tensor's largest entry.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from torch_parity.compare.gradients.gradcheck import Checked

LOWEST = -17.0


def brightness(errors: Mapping[str, np.ndarray], layer: int) -> np.ndarray:
    """|g - n| of W and b of a layer, between 0 and 1            # -> [n_out, n_in + 1]"""
    both = np.column_stack([errors[f"W{layer}"], errors[f"b{layer}"]])
    with np.errstate(divide="ignore"):
        exponent = np.nan_to_num(np.log10(both), nan=0.0)
    return np.clip(1 - exponent / LOWEST, 0, 1)


def write(folder: Path, checks: list[Checked]) -> None:
    """TensorBoard images, and error.png."""
    with SummaryWriter(str(folder)) as writer:
        for c in checks:
            for side, errors in c.errors.items():
                for layer in range(1, len(errors) // 2 + 1):
                    image = brightness(errors, layer)[None]
                    writer.add_image(f"gradient error/{side}/layer {layer}", image, c.after)
    rows = [(c, side) for c in checks for side in c.errors]
    layers = len(rows[0][0].errors[rows[0][1]]) // 2
    size = (3.2 * layers + 1, 2.4 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), layers, squeeze=False)
    for of_row, (c, side) in zip(axes, rows, strict=True):
        for layer, ax in enumerate(of_row, start=1):
            image = LOWEST * (1 - brightness(c.errors[side], layer))
            drawn = ax.imshow(image, vmin=LOWEST, vmax=0, aspect="auto", interpolation="nearest")
            ax.set_title(f"{side}, layer {layer}, after {c.after} steps", fontsize=9)
            ax.set(xlabel="input, bias last", ylabel="unit")
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
