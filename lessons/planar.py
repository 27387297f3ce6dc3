"""The flower with 1 to 50 hidden units, against logistic regression.

The whole of the course's first network, put together: one hidden layer of tanh
units, a sigmoid output, logistic loss, backpropagation, descent.

  a1 = tanh(x @ W1.T + b1)      x (m, 2), W1 (n, 2)  -> (m, n)
  a2 = sigmoid(a1 @ W2.T + b2)  W2 (1, n)            -> (m, 1), class 1 if > 0.5

Logistic regression, the same without the hidden layer, draws a straight line,
and no straight line parts the petals. Each hidden unit bends it once more: a
few are enough, and many more gain little.

Source: course week 3, programming assignment "planar data classification with
one hidden layer".
"""

from torch_parity.compare.case import Case
from torch_parity.compare.judge.judge import SIDES
from torch_parity.lessons.experiment import Trained, train
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, judged
from torch_parity.lessons.pictures import boundaries, curves, same_predictions

WIDTHS = (1, 2, 3, 4, 5, 20, 50)
STRAIGHT = "logistic regression"


def measure(seed: int) -> Measured:
    """Every width, trained on the same flower; boundaries of both sides on a grid."""
    runs = {STRAIGHT: train(_case(seed, ()))}
    runs |= {_label(n): train(_case(seed, (n,))) for n in WIDTHS}
    numbers = judged(runs.values())
    for label, trained in runs.items():
        numbers[f"{label}/same predictions"] = same_predictions(trained)
        for side in SIDES:
            for split in ("train", "dev"):
                numbers[f"{label}/{split}/{side}"] = trained.last(side, f"accuracy/{split}")
    columns = ("", "train, manual", "torch", "dev, manual", "torch", "predicted alike")
    table = Table("Accuracy on the flower", columns, tuple(_rows(numbers, runs)))
    figures = {"boundaries": boundaries(runs, 4), "loss": curves(runs, "loss/train")}
    return Measured(numbers, (table,), figures, runs)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """A line cannot, a few units can, many more gain little, and both sides draw the same."""
    line = max(n[f"{STRAIGHT}/dev/{s}"] for s in SIDES)
    dev = {width: min(n[f"{_label(width)}/dev/{s}"] for s in SIDES) for width in WIDTHS}
    few = {width: score for width, score in dev.items() if score > line + 0.25}
    enough = min(few, default=None)
    alike = min(value for name, value in n.items() if name.endswith("same predictions"))
    return (
        claim(
            enough is not None and enough <= 5,
            f"Logistic regression gets {line:.1%} of dev right, "
            f"{_label(enough or 0)} {dev.get(enough or 0, 0.0):.1%}: the line had to bend.",
            f"Logistic regression gets {line:.1%} of dev right, and none of the widths up to 5 is "
            "25 points better.",
        ),
        claim(
            dev[50] - max(dev[4], dev[5]) <= 0.05,
            f"Many more gain little: 4 units {dev[4]:.1%}, 5 units {dev[5]:.1%}, 20 units "
            f"{dev[20]:.1%}, 50 units {dev[50]:.1%}.",
            f"Many more DO gain here: 4 units {dev[4]:.1%}, 5 units {dev[5]:.1%}, 50 units "
            f"{dev[50]:.1%}.",
        ),
        claim(
            alike == 1,
            f"Both sides draw the same boundaries: they agree on {alike:.0%} of every grid.",
            f"The boundaries differ: the sides agree on no more than {alike:.2%} of a grid.",
        ),
    )


def _label(units: int) -> str:
    return f"{units} unit{'s' * (units != 1)}"


def _case(seed: int, hidden: tuple[int, ...]) -> Case:
    return Case.model_validate(
        {
            "data": "flower",
            "samples": 400,
            "hidden": hidden,
            "activation": "tanh",
            "initializer": "xavier_normal",
            "p": 0,
            "l2": 0,
            "optimizer": "adam",
            "lr": 0.03,
            "steps": 400,
            "batch": 64,
            "log_every": 40,
            "seed": seed,
        }
    )


def _rows(n: Numbers, runs: dict[str, Trained]) -> list[tuple[str, ...]]:
    return [
        (
            label,
            *(f"{n[f'{label}/{split}/{s}']:.1%}" for split in ("train", "dev") for s in SIDES),
            f"{n[f'{label}/same predictions']:.2%}",
        )
        for label in runs
    ]


LESSON = Lesson("planar", ("计算神经网络的输出 + 激活函数 + 反向传播",), __doc__, measure, conclude)
