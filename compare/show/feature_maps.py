"""Pictures of a convolutional network: its first kernels, and what its layers make of one image.

Both sides are in each. The functions draw what they are given and compute nothing but the tiling.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare.judge.judge import Side
from torch_parity.compare.show.card import SMALL, TITLE, figure

COLUMNS = 4  # tiles in a row
SHOWN = 16  # the most tiles of a panel


def kernels(weights: Mapping[Side, np.ndarray]) -> Figure:
    """The kernels [o, c, kh, kw] of a convolution, one panel per side: the mean of the channels
    that a kernel reads, red above 0 and blue below."""
    drawn = figure(2.0)
    panels = drawn.subplots(1, len(weights), squeeze=False)[0]
    most = max(float(np.abs(w).max()) for w in weights.values()) or 1.0
    for ax, (side, weight) in zip(panels, weights.items(), strict=True):
        ax.imshow(tiled(weight.mean(axis=1)), cmap="RdBu_r", vmin=-most, vmax=most)
        ax.set_title(side, fontsize=TITLE)
        ax.set_axis_off()
    return drawn


def feature_maps(image: np.ndarray, maps: Mapping[Side, Mapping[str, np.ndarray]]) -> Figure:
    """One image [h, w] or [h, w, 3], and what the layers of each side make of it: maps[side][layer]
    is [channels, h', w']. A row for each layer, a column for each side."""
    layers = list(next(iter(maps.values())))
    drawn = figure(1.7 * len(layers))
    ratios = [1, *(2 for _ in maps)]
    panels = drawn.subplots(len(layers), 1 + len(maps), squeeze=False, width_ratios=ratios)
    for row, layer in zip(panels, layers, strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, (side, made) in zip(row[1:], maps.items(), strict=True):
            ax.imshow(tiled(made[layer]), cmap="viridis")
            ax.set_title(f"{layer}\n{side}", fontsize=SMALL)
    panels[0][0].imshow(image, cmap="gray_r")
    panels[0][0].set_title("image", fontsize=SMALL)
    return drawn


def tiled(tiles: np.ndarray) -> np.ndarray:
    """The first tiles side by side, a gap of NaN between them  # [n, h, w] -> [rows, columns]

    COLUMNS of them stand in a row, and no more than SHOWN are shown.
    """
    tiles = tiles[:SHOWN]
    n, h, w = tiles.shape
    rows, columns = -(-n // COLUMNS), min(n, COLUMNS)
    sheet = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1), np.nan)
    for i, tile in enumerate(tiles):
        y, x = (i // COLUMNS) * (h + 1), (i % COLUMNS) * (w + 1)
        sheet[y : y + h, x : x + w] = tile
    return sheet
