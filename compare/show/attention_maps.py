"""A picture of attention: which earlier characters each head looks at.

Both sides are in it. The function draws what it is given and computes nothing.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare.judge.judge import Side
from torch_parity.compare.show.card import SMALL, figure

SHOWN = 4  # the most heads of a block


def attention_maps(text: str, weights: Mapping[Side, Mapping[str, np.ndarray]]) -> Figure:
    """weights[side][block] are [heads, queries, keys], of this text: a row for each block and head,
    a column for each side. A row of a panel is a query; its darker columns are the keys it sees."""
    blocks = next(iter(weights.values()))
    rows = [(block, i) for block, heads in blocks.items() for i in range(len(heads[:SHOWN]))]
    drawn = figure(1.9 * len(rows))
    panels = drawn.subplots(len(rows), len(weights), squeeze=False)
    letters = [repr(c)[1:-1] for c in text]
    for row, (block, i) in zip(panels, rows, strict=True):
        for ax, (side, of) in zip(row, weights.items(), strict=True):
            ax.imshow(of[block][i], cmap="Blues", vmin=0, vmax=1)
            ax.set_xticks(range(len(text)), letters, fontsize=5)
            ax.set_yticks(range(len(text)), letters, fontsize=5)
            ax.set_title(f"{block}, head {i}\n{side}", fontsize=SMALL)
    return drawn
