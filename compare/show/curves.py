"""The curves of a run: both sides in one chart, their distance, and that which rounding alone
causes.

The first side is thick and pale, the second thin and dark on top: both are visible where they
agree. The colours are those of Okabe and Ito, which colour-blind readers can distinguish.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import SymmetricalLogLocator

from torch_parity.compare.runs.events import Curve

Curves = Mapping[str, Curve]

BLUE, ORANGE, GREEN, PURPLE = "#56B4E9", "#D55E00", "#009E73", "#CC79A7"
THICK: dict[str, Any] = {"color": BLUE, "lw": 5, "alpha": 0.6}
THIN: dict[str, Any] = {"color": "black", "lw": 1.2}
STYLE = {"manual": THICK, "torch": THIN}
SPLITS = {"train": "-", "dev": ":"}
KINDS = {"z": BLUE, "dz": ORANGE, "dW": GREEN, "W": PURPLE}


def both_sides(
    axes: Axes, sides: Mapping[str, Curves], what: str, splits: Mapping[str, str] = SPLITS
) -> None:
    """what/train (solid) and what/dev (dotted) of each of two sides, if they exist."""
    for (side, curves), style in zip(sides.items(), (THICK, THIN), strict=True):
        for split, dashes in splits.items():
            if (tag := f"{what}/{split}") in curves:
                label = f"{side}, {split}"
                (line,) = axes.plot(*curves[tag], label=label, linestyle=dashes, **style)
                line.set_gid(f"{side} {tag}")
    axes.set(title=what, xlabel="step")


def differences(axes: Axes, parity: Curves) -> None:
    """The greatest difference of the main kinds of tensor, with a line at 1e-12."""
    kinds = [kind for kind in KINDS if f"difference/{kind}" in parity]
    for kind in kinds:
        axes.plot(*parity[f"difference/{kind}"], label=kind, color=KINDS[kind], lw=0.8)
    axes.axhline(1e-12, color="black", lw=0.8, linestyle=":", label="1e-12, for scale")
    _logarithmic(axes, [*(parity[f"difference/{kind}"] for kind in kinds), ([], [1e-12])])
    axes.set(title="greatest difference, relative", xlabel="step")


def of_bound(axes: Axes, parity: Curves) -> None:
    """The greatest share of its bound that a result of each phase used in each judged step, with a
    line at 1: above it a result is wrong."""
    phases = ("forward", "backward", "update")
    for phase, colour in zip(phases, (BLUE, ORANGE, GREEN), strict=True):
        if (tag := f"of_bound/{phase}") in parity:
            axes.plot(*parity[tag], label=phase, color=colour, lw=0.8, marker=".", markersize=4)
    axes.axhline(1, color="black", lw=0.8, linestyle=":", label="the bound")
    axes.set(title="greatest share of its bound used", xlabel="step", ylim=(0, 1.5))


def divergence(axes: Axes, parity: Curves, sides: tuple[str, str] = ("manual", "torch")) -> None:
    """How far apart the free-running sides are, and the envelope: how far a perturbed copy is."""
    first, second = sides
    steps, envelope = parity["drift/perturbed_copy"]
    (area := axes.fill_between(steps, envelope, color=BLUE, alpha=0.35, lw=0)).set_gid("envelope")
    area.set_label("perturbed copy")
    drift = parity[f"drift/{first}_to_{second}"]
    (line,) = axes.plot(*drift, label=f"{first} to {second}", color="black", lw=1.2)
    line.set_gid("drift")
    _logarithmic(axes, [drift, (steps, envelope)])
    axes.set(title="parameters apart, left to run free", xlabel="step")


def _logarithmic(axes: Axes, curves: Iterable[Curve]) -> None:
    """A logarithmic axis from the smallest value up; 0, a common difference, is at the bottom."""
    above = [v for _, values in curves for v in values if v > 0 and math.isfinite(v)]
    least, greatest = min(above, default=1e-17), max(above, default=1e-16)
    threshold = 10 ** math.floor(math.log10(least))
    axes.set_yscale("symlog", linthresh=threshold)
    ticks = SymmetricalLogLocator(base=10, linthresh=threshold)
    ticks.set_params(numticks=9)
    axes.yaxis.set_major_locator(ticks)
    axes.set_ylim(0, 2 * greatest)
