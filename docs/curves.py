"""Draw the curves of one run, as TensorBoard shows them, into docs/curves.png for the README.

Usage: python docs/curves.py runs/digits
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SIDES = {"manual": {"lw": 5, "alpha": 0.35}, "torch": {"lw": 1.2, "color": "black"}}


def read(folder: Path) -> dict[str, tuple[list[int], list[float]]]:
    """tag -> (steps, values) of one side."""
    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: ([e.step for e in events.Scalars(tag)], [e.value for e in events.Scalars(tag)])
        for tag in events.Tags()["scalars"]
    }


def draw(run: Path, file: Path) -> None:
    """Loss and accuracy of both sides over one another; beside them how far they are apart."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (loss, accuracy, apart) = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
    for side, style in SIDES.items():
        curves = read(run / side)
        for axes, what in ((loss, "loss"), (accuracy, "accuracy")):
            for split, dashes in (("train", "-"), ("dev", ":")):
                axes.plot(
                    *curves[f"{what}/{split}"], label=f"{side}, {split}", linestyle=dashes, **style
                )
            axes.set(title=what, xlabel="step")
    accuracy.legend(frameon=False, loc="lower right")
    loss.set_yscale("log")
    parity = read(run / "parity")
    for kind in ("z", "dz", "dW", "W"):
        apart.plot(*parity[f"difference/{kind}"], lw=0.8, label=kind)
    apart.axhline(1e-12, color="black", lw=0.8, linestyle=":")
    apart.set(title="greatest difference, relative", xlabel="step", yscale="log")
    apart.legend(frameon=False, ncols=4, loc="upper left")
    apart.set_ylim(1e-17, 1e-10)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(__file__).with_name("curves.png"))
