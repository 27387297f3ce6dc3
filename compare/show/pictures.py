"""Pictures of a classifier: decision boundary, confusion matrix, misclassified samples.

Both sides are in each. The functions draw what they are given and compute nothing.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torch_parity.compare.judge.judge import Side
from torch_parity.compare.show.card import SMALL, TITLE, figure

GRID = 60
TILES = 5
TILE = 0.75  # of the place that a tile has; the rest is for the words above it


def plane(x: np.ndarray, side: int = GRID) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane around 2-D samples in side x side points: x0 and x1 [side, side], and as rows
    [side^2, 2] in the samples' dtype."""
    low, high = x.min(axis=0) - 0.3, x.max(axis=0) + 0.3
    x0, x1 = np.meshgrid(*(np.linspace(low[i], high[i], side) for i in (0, 1)))
    return x0, x1, np.column_stack([x0.ravel(), x1.ravel()]).astype(x.dtype)


def boundary(
    ax: Axes,
    x0: np.ndarray,
    x1: np.ndarray,
    by_hand: np.ndarray,
    in_torch: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    classes: int = 2,
) -> None:
    """Filled: manual's; the black line: where torch's class changes; dots: the samples.

    by_hand and in_torch are [side, side]: probabilities of class 1, or with more than two classes
    the class itself.
    """
    colours, levels = (
        ("RdBu_r", np.linspace(0, 1, 11))
        if classes == 2
        else ("tab10", np.arange(classes + 1) - 0.5)
    )
    ax.contourf(x0, x1, by_hand, levels=levels, cmap=colours, alpha=0.8 if classes == 2 else 0.4)
    for level in np.arange(classes - 1) + 0.5:
        if in_torch.min() < level < in_torch.max():
            ax.contour(x0, x1, in_torch, levels=[level], colors="black", linewidths=1.2)
    ax.scatter(x[:, 0], x[:, 1], c=labels, cmap=colours, s=9, edgecolors="white", linewidths=0.4)
    ax.set(xticks=[], yticks=[])


def confusion(labels: np.ndarray, predicted: Mapping[Side, np.ndarray], classes: int) -> Figure:
    """One panel per side: how many samples of each class (row) got which label (column)."""
    drawn = figure(3.4 * len(predicted))
    panels = drawn.subplots(len(predicted), 1, sharex=True)
    for ax, (side, found) in zip(panels, predicted.items(), strict=True):
        counts = np.zeros((classes, classes), dtype=int)
        np.add.at(counts, (labels, found), 1)
        ax.imshow(counts, cmap="Blues")
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if count > counts.max() / 2 else "black"
                ax.text(
                    column, row, str(count), ha="center", va="center", color=colour, fontsize=TITLE
                )
        ax.set_title(f"{side}: {np.trace(counts)} of {labels.size} right", fontsize=TITLE)
        ax.set(xticks=range(classes), yticks=range(classes))
        ax.tick_params(labelsize=SMALL)
        ax.set_ylabel("true class", fontsize=TITLE)
    panels[-1].set_xlabel("predicted", fontsize=TITLE)
    return drawn


def misclassified(
    images: np.ndarray, labels: np.ndarray, predicted: Mapping[Side, np.ndarray]
) -> Figure:
    """Up to 25 images [m, height, width] that either side gets wrong, each with its true class and
    its predicted one (8 > 1), by side if the sides differ."""
    wrong = np.flatnonzero(np.any([found != labels for found in predicted.values()], axis=0))
    shown = wrong[: TILES * TILES]
    rows = max(1, -(-len(shown) // TILES))
    drawn = figure(0.5 + 0.85 * rows)
    few = f", the first {len(shown)}" if len(shown) < len(wrong) else ""
    title = f"{len(wrong)} of {len(labels)} dev samples wrong{few}:\ntrue class > taken for"
    drawn.suptitle(title, fontsize=TITLE)
    ax = drawn.subplots()  # one for all: 25 small ones take ten times as long to lay out
    for tile, i in enumerate(shown):
        row, column = divmod(tile, TILES)
        ax.imshow(images[i], cmap="gray_r", extent=(column, column + TILE, row + TILE, row))
        taken = {side: str(found[i]) for side, found in predicted.items()}
        alike = len(set(taken.values())) == 1
        words = taken.popitem()[1] if alike else "\n".join(f"{s} {c}" for s, c in taken.items())
        middle, size = column + TILE / 2, TITLE if alike else 5.0
        ax.text(middle, row - 0.04, f"{labels[i]} > {words}", ha="center", fontsize=size)
    ax.set(xlim=(0, TILES - 1 + TILE), ylim=(rows - 1 + TILE, -0.3))
    ax.set_axis_off()
    return drawn
