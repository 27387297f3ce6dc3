"""A picture of an LSTM at work: its gates and its memory while it reads one sequence."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare.judge.judge import Side
from torch_parity.compare.show.card import SMALL, figure

TITLES = {"i": "i, lets in", "f": "f, keeps", "g": "g, new", "o": "o, shows", "c": "c, memory"}


def gate_activations(text: str, of: Mapping[Side, Mapping[str, np.ndarray]]) -> Figure:
    """of[side][gate] is [t, n], for the gates i, f, g and o and the memory c: a row of panels for
    each, a column for each side. In a panel there is a column for each step, with its character,
    and a row for each unit; red above 0 and blue below."""
    drawn = figure(1.5 * len(TITLES))
    panels = drawn.subplots(len(TITLES), len(of), squeeze=False)
    for row, (name, title) in zip(panels, TITLES.items(), strict=True):
        for ax, (side, gates) in zip(row, of.items(), strict=True):
            values = gates[name].T
            most = max(1.0, float(np.abs(values).max()))
            ax.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
            ax.set_title(f"{title}: {side}", fontsize=SMALL)
            ax.set_xticks(range(len(text)), [repr(c)[1:-1] for c in text], fontsize=6)
            ax.set_yticks([])
    return drawn
