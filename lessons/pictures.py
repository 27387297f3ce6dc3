"""Pictures of several lessons: curves and decision boundaries of both sides."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.show.curves import STYLE
from torch_parity.compare.show.pictures import boundary, plane
from torch_parity.lessons.experiment import Trained

MOST_COLUMNS = 3  # of curves: more in a row are too small to read


def panels(
    rows: int, columns: int, width: float = 3.0, alike: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of rows x columns panels; with alike=True all have the same vertical scale."""
    figure = Figure(figsize=(width * columns, 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=alike)
    return figure, list(axes.flat)


def legend(figure: Figure) -> None:
    """Put a legend above all panels, with the names of the first panel."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)


def curves(runs: Mapping[str, Trained], curve: str) -> Figure:
    """One panel per training with the curve of each side: NumPy thick, torch thin. Losses have a
    logarithmic scale."""
    columns = min(len(runs), MOST_COLUMNS)
    figure, axes = panels(-(-len(runs) // columns), columns, width=2.4, alike=True)
    for ax, (label, trained) in zip(axes, runs.items(), strict=False):
        steps = [r.step for r in trained.records]
        for side in SIDES:
            ax.plot(steps, trained.curve(side, curve), label=side, **STYLE[side])
        ax.set(title=label, xlabel="step")
    axes[0].set(ylabel=curve, yscale="log" if curve.startswith("loss/") else "linear")
    for ax in axes[len(runs) :]:
        ax.remove()
    legend(figure)
    return figure


def grid(trained: Trained, side: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane of 2-D data in side x side points: x0 and x1 [side, side], rows [side^2, 2]."""
    return plane(np.concatenate([trained.data.x_train, trained.data.x_dev]), side)


def boundaries(runs: Mapping[str, Trained], columns: int) -> Figure:
    """Colour: the probability in NumPy. Black line: where the probability in torch is 1/2."""
    figure, axes = panels(-(-len(runs) // columns), columns)
    for ax, (label, trained) in zip(axes, runs.items(), strict=False):
        x0, x1, rows = grid(trained)
        by_hand, in_torch = (trained.output(s, rows).reshape(x0.shape) for s in SIDES)
        x, y = trained.data.x_train, trained.data.labels_train
        boundary(ax, x0, x1, by_hand, in_torch, x, y)
        ax.set_title(label)
    for ax in axes[len(runs) :]:
        ax.remove()
    return figure


def same_predictions(trained: Trained) -> float:
    """The share of the grid points for which both sides predict the same class."""
    _, _, rows = grid(trained)
    by_hand, in_torch = (trained.output(side, rows) > 0.5 for side in SIDES)
    return float(np.mean(by_hand == in_torch))
