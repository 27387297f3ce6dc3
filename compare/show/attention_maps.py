"""A picture of attention: which earlier characters each head looks at.

Both sides are in it. The function draws what it is given and computes nothing.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare.judge.judge import Side

SHOWN = 4  # the most heads of a block


def attention_maps(text: str, weights: Mapping[Side, Mapping[str, np.ndarray]]) -> Figure:
    """weights[side][block] are [heads, queries, keys], of this text: a row for each block and side,
    a column for each head. A row of a panel is a query; its darker columns are the keys it sees."""
    rows = [(block, side) for block in next(iter(weights.values())) for side in weights]
    heads = max(len(weights[side][block][:SHOWN]) for block, side in rows)
    figure = Figure(figsize=(2.6 * heads, 2.6 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), heads, squeeze=False)
    letters = [repr(c)[1:-1] for c in text]
    for row, (block, side) in zip(panels, rows, strict=True):
        for ax in row:
            ax.set_axis_off()
        for i, head in enumerate(weights[side][block][:SHOWN]):
            ax = row[i]
            ax.set_axis_on()
            ax.imshow(head, cmap="Blues", vmin=0, vmax=1)
            ax.set_xticks(range(len(text)), letters, fontsize=6)
            ax.set_yticks(range(len(text)), letters, fontsize=6)
            ax.set_title(f"{block}, head {i}, {side}", fontsize=7)
    return figure
