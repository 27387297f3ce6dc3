"""Charts for a page: SVG with the colour and font of the page, also in dark mode."""

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torch_parity.compare.runs import events
from torch_parity.compare.show import curves

BATCH = {"batch": "-"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "parity",
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def of_training(folder: Path, score: str) -> tuple[tuple[Markup, ...], int]:
    """Loss, score, divergence and differences, as far as they were written -> charts, last step."""
    sides = {side: events.read(folder / side).curves for side in curves.STYLE}
    parity = events.read(folder / "parity").curves
    charts = [
        _svg(f"{what} of both sides", partial(curves.both_sides, sides=sides, what=what))
        for what in ("loss", score)
        if any(tag.startswith(f"{what}/") for tag in sides["torch"])
    ]
    if "drift/perturbed_copy" in parity:
        charts.append(_svg("divergence", partial(curves.divergence, parity=parity)))
        charts.append(_svg("differences", partial(curves.differences, parity=parity)))
    return tuple(charts), _last_step(parity)


def of_modules(folder: Path) -> tuple[tuple[Markup, ...], int]:
    """Loss, divergence and shares of bounds of two modules, as far as they were written -> charts,
    last step."""
    sides = {side: events.read(folder / side).curves for side in ("a", "b")}
    parity = events.read(folder / "parity").curves
    losses = [
        tag.removesuffix("/batch")
        for tag in sides["a"]
        if tag.startswith("loss") and tag.endswith("/batch")
    ]
    charts = [
        _svg(f"{loss} of both", partial(curves.both_sides, sides=sides, what=loss, splits=BATCH))
        for loss in losses
    ]
    if "drift/perturbed_copy" in parity:
        apart = partial(curves.divergence, parity=parity, sides=("a", "b"))
        charts.append(_svg("divergence", apart))
        charts.append(_svg("shares", partial(curves.of_bound, parity=parity)))
    return tuple(charts), _last_step(parity)


def _last_step(drawn: Mapping[str, events.Curve]) -> int:
    return max((steps[-1] for steps, _ in drawn.values()), default=0)


def _svg(title: str, draw: Callable[[Axes], None]) -> Markup:
    """One chart; black becomes the text colour of the page."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.2), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        if axes.get_legend_handles_labels()[0]:  # a training that diverged at once has no curves
            axes.legend(frameon=False, fontsize=9)
        page = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(page, format="svg", transparent=True, metadata=nothing | {"Title": title})
    drawn = page.getvalue()
    return Markup(drawn[drawn.index("<svg") :].replace("#000000", "currentColor"))
