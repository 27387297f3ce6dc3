"""One hidden layer of 1 to 50 units, compared with logistic regression.

The course's first complete network: one hidden layer of tanh units, a sigmoid
output, logistic loss, backpropagation and gradient descent. The data set is a
flower whose petals belong to two classes.

  a1 = tanh(x @ W1.T + b1)      x (m, 2), W1 (n, 2)  -> (m, n)
  a2 = sigmoid(a1 @ W2.T + b2)  W2 (1, n)            -> (m, 1), class 1 if > 0.5

Logistic regression is the same without the hidden layer. Its boundary is a
straight line, and no straight line separates the petals. Each hidden unit lets
the boundary bend once more. A few units are enough; many more help little.

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
    """Train every width on the same data, and compare the boundaries on a grid."""
    runs = {STRAIGHT: train(_case(seed, ()))}
    runs |= {_label(n): train(_case(seed, (n,))) for n in WIDTHS}
    numbers = judged(runs.values())
    for label, trained in runs.items():
        numbers[f"{label}/same predictions"] = same_predictions(trained)
        for side in SIDES:
            for split in ("train", "dev"):
                numbers[f"{label}/{split}/{side}"] = trained.last(side, f"accuracy/{split}")
    columns = ("network", "train, manual", "torch", "dev, manual", "torch", "same predictions")
    zh = {
        "Accuracy on the flower": "花瓣数据上的准确率",
        "network": "网络",
        "same predictions": "预测相同",
        STRAIGHT: "逻辑回归",
        **{_label(n): f"{n} 个单元" for n in WIDTHS},
    }
    table = Table("Accuracy on the flower", columns, tuple(_rows(numbers, runs)), zh)
    figures = {"boundaries": boundaries(runs, 4), "loss": curves(runs, "loss/train")}
    return Measured(numbers, (table,), figures, runs)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """A line is not enough, a few units are, many more help little; both sides agree."""
    line = max(n[f"{STRAIGHT}/dev/{s}"] for s in SIDES)
    dev = {width: min(n[f"{_label(width)}/dev/{s}"] for s in SIDES) for width in WIDTHS}
    few = {width: score for width, score in dev.items() if score > line + 0.25}
    enough = min(few, default=None)
    alike = min(value for name, value in n.items() if name.endswith("same predictions"))
    return (
        claim(
            enough is not None and enough <= 5,
            f"Logistic regression reaches {line:.1%} on dev. A hidden layer of "
            f"{_label(enough or 0)} reaches {dev.get(enough or 0, 0.0):.1%}.",
            f"Logistic regression reaches {line:.1%} on dev. NOT one width up to 5 units is 25 "
            "percentage points better.",
            f"逻辑回归在开发集上的准确率是 {line:.1%}。有 {enough or 0} 个单元的隐藏层达到 "
            f"{dev.get(enough or 0, 0.0):.1%}。",
            f"逻辑回归在开发集上的准确率是 {line:.1%}。5 个单元以内，没有一种宽度"
            "能高出 25 个百分点。",
        ),
        claim(
            dev[50] - max(dev[4], dev[5]) <= 0.05,
            f"Many more units help little: 4 units {dev[4]:.1%}, 5 units {dev[5]:.1%}, 20 units "
            f"{dev[20]:.1%}, 50 units {dev[50]:.1%}.",
            f"Many more units DO help here: 4 units {dev[4]:.1%}, 5 units {dev[5]:.1%}, 50 units "
            f"{dev[50]:.1%}.",
            f"单元再多也提高不了多少：4 个单元 {dev[4]:.1%}，5 个 {dev[5]:.1%}，20 个 "
            f"{dev[20]:.1%}，50 个 {dev[50]:.1%}。",
            f"这里单元更多确实更好：4 个单元 {dev[4]:.1%}，5 个 {dev[5]:.1%}，50 个 "
            f"{dev[50]:.1%}。",
        ),
        claim(
            alike == 1,
            f"Both sides have the same boundaries: they agree on {alike:.0%} of every grid.",
            f"The boundaries are NOT the same: on one grid the sides agree on only {alike:.2%}.",
            f"两边的决策边界相同：每个网格上都有 {alike:.0%} 的点预测一致。",
            f"两边的决策边界不同：有一个网格上只有 {alike:.2%} 的点预测一致。",
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


ZH = "一个隐藏层，1 到 50 个单元，与逻辑回归比较。"
LESSON = Lesson(
    "planar", ("计算神经网络的输出 + 激活函数 + 反向传播",), __doc__, measure, conclude, ZH
)
