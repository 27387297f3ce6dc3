"""Draw the curves of one run, as TensorBoard shows them, and save them as docs/curves.png.

Usage: python docs/curves.py runs/digits
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from torch_parity.compare.runs import events
from torch_parity.compare.show import curves


def draw(run: Path, file: Path) -> None:
    """Draw loss and accuracy of both sides, and beside them the difference between the sides."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (loss, accuracy, apart) = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
    sides = {side: events.read(run / side).curves for side in curves.STYLE}
    curves.both_sides(loss, sides, "loss")
    curves.both_sides(accuracy, sides, "accuracy")
    curves.differences(apart, events.read(run / "parity").curves)
    loss.set_yscale("log")
    accuracy.legend(frameon=False, loc="lower right")
    apart.set_ylim(top=1e-9)
    apart.legend(frameon=False, ncols=3, loc="upper left", fontsize=7.5)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(__file__).with_name("curves.png"))
