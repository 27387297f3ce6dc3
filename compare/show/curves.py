"""The curves of a run: both sides in one chart, their distance, and that which rounding alone
causes.

Manual is thick and pale, torch thin and dark on top: both are visible where they agree. The colours
are those of Okabe and Ito, which colour-blind readers can distinguish.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import SymmetricalLogLocator

from torch_parity.compare.runs.events import Curve

Curves = Mapping[str, Curve]

BLUE, ORANGE, GREEN, PURPLE = "#56B4E9", "#D55E00", "#009E73", "#CC79A7"
STYLE: dict[str, dict[str, Any]] = {
    "manual": {"color": BLUE, "lw": 5, "alpha": 0.6},
    "torch": {"color": "black", "lw": 1.2},
}
KINDS = {"z": BLUE, "dz": ORANGE, "dW": GREEN, "W": PURPLE}


def both_sides(axes: Axes, sides: Mapping[str, Curves], what: str) -> None:
    """what/train (solid) and what/dev (dotted) of each side, if they exist."""
    for side, curves in sides.items():
        for split, dashes in (("train", "-"), ("dev", ":")):
            if (tag := f"{what}/{split}") in curves:
                label = f"{side}, {split}"
                (line,) = axes.plot(*curves[tag], label=label, linestyle=dashes, **STYLE[side])
                line.set_gid(f"{side} {tag}")
    axes.set(title=what, xlabel="step")


def differences(axes: Axes, parity: Curves) -> None:
    """The greatest difference of the main kinds of tensor, with a line at 1e-12."""
    kinds = [kind for kind in KINDS if f"difference/{kind}" in parity]
    for kind in kinds:
        axes.plot(*parity[f"difference/{kind}"], label=kind, color=KINDS[kind], lw=0.8)
    axes.axhline(1e-12, color="black", lw=0.8, linestyle=":")
    _logarithmic(axes, [*(parity[f"difference/{kind}"] for kind in kinds), ([], [1e-12])])
    axes.set(title="greatest difference, relative", xlabel="step")


def divergence(axes: Axes, parity: Curves) -> None:
    """How far apart the free-running sides are, and the envelope: how far a perturbed copy is."""
    steps, envelope = parity["drift/perturbed_copy"]
    (area := axes.fill_between(steps, envelope, color=BLUE, alpha=0.35, lw=0)).set_gid("envelope")
    area.set_label("perturbed copy")
    drift = parity["drift/manual_to_torch"]
    (line,) = axes.plot(*drift, label="manual to torch", color="black", lw=1.2)
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
