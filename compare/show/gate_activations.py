"""A picture of an LSTM at work: its gates and its memory while it reads one sequence."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare.judge.judge import Side

TITLES = {"i": "i, lets in", "f": "f, keeps", "g": "g, new", "o": "o, shows", "c": "c, memory"}


def gate_activations(text: str, of: Mapping[Side, Mapping[str, np.ndarray]]) -> Figure:
    """of[side][gate] is [t, n], for the gates i, f, g and o and the memory c: a column for each
    step, with its character, a row for each unit; red above 0 and blue below."""
    figure = Figure(figsize=(2.6 * len(TITLES), 2.4 * len(of)), layout="constrained")
    panels = figure.subplots(len(of), len(TITLES), squeeze=False)
    for row, (side, gates) in zip(panels, of.items(), strict=True):
        for ax, (name, title) in zip(row, TITLES.items(), strict=True):
            values = gates[name].T
            most = max(1.0, float(np.abs(values).max()))
            ax.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
            ax.set_title(title)
            ax.set_xticks(range(len(text)), [repr(c)[1:-1] for c in text], fontsize=7)
            ax.set_yticks([])
        row[0].set_ylabel(side)
    return figure
