"""Bias and variance: two differences of error rates say what to improve next.

  bias      = train error - base error    the model does not fit its samples
  variance  = dev error - train error     it fits them, but not new samples

High bias: try a bigger network, then train longer. High variance: try more
data, then regularization. The lesson follows each advice and measures its
effect, on circles with so much noise that no model gets all points right. With
enough data there is no trade-off: a bigger network reduces bias without raising
variance.

The base error is what a human would reach; here, the dev error of the network
with the most data. High means more than 5 percentage points.

Source: course 2 week 1, "bias / variance" and "basic recipe for machine
learning".
"""

from matplotlib.figure import Figure

from torch_parity.compare.case import Case
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.lessons.experiment import Trained, train
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, judged
from torch_parity.lessons.pictures import boundaries, panels
from torch_parity.manual import Diagnosis, diagnose

MODELS: dict[str, dict[str, object]] = {
    "too small": {"hidden": (), "steps": 60},
    "bigger": {"steps": 4},
    "trained longer": {},
    "more data": {"samples": 1500},
    "regularized": {"l2": 1.0},
}
EXAMPLES = ((0.01, 0.11), (0.15, 0.16), (0.15, 0.30), (0.005, 0.01))
ZH_WORDS = {
    "Errors and diagnoses": "错误率与诊断",
    "The examples of the notes, base error 0": "笔记中的例子，基准错误率取 0",
    "model": "模型",
    "train error": "训练误差",
    "dev error": "开发误差",
    "bias": "偏差",
    "variance": "方差",
    "diagnosis": "诊断",
    "advice": "建议",
    "too small": "太小",
    "bigger": "更大",
    "trained longer": "训练更久",
    "more data": "更多数据",
    "regularized": "正则化",
    "high bias": "高偏差",
    "low bias": "低偏差",
    "high variance": "高方差",
    "low variance": "低方差",
    "a bigger network": "更大的网络",
    "train longer": "训练更久",
    "regularization": "正则化",
    "search for another architecture": "换一种结构",
    "none": "无",
}


def measure(seed: int) -> Measured:
    """Five models, each diagnosed from its own errors on both sides."""
    runs = {label: train(_case(seed, options)) for label, options in MODELS.items()}
    numbers = judged(runs.values())
    rows = []
    for label, trained in runs.items():
        for side in SIDES:
            errors, found = errors_of(trained, side), diagnosed(trained, runs["more data"], side)
            values = dict(zip(("train", "dev"), errors, strict=True))
            values |= {"bias": found.bias, "variance": found.variance}
            values |= {"high bias": found.high_bias, "high variance": found.high_variance}
            numbers |= {f"{label}/{what}/{side}": float(v) for what, v in values.items()}
            shown = (*errors, found.bias, found.variance)
            advice = ", ".join(found.advice[:2]) or "none"
            rows.append((label, side, *(f"{v:.1%}" for v in shown), found.verdict, advice))
    columns = (
        *("model", "side", "train error", "dev error"),
        *("bias", "variance", "diagnosis", "advice"),
    )
    return Measured(
        numbers,
        (Table("Errors and diagnoses", columns, tuple(rows), ZH_WORDS), _examples()),
        {"errors": _draw(numbers), "boundaries": boundaries(runs, len(runs))},
        runs,
    )


def errors_of(trained: Trained, side: Side) -> tuple[float, float]:
    """The error rates on train and on dev."""
    return 1 - trained.last(side, "accuracy/train"), 1 - trained.last(side, "accuracy/dev")


def diagnosed(trained: Trained, most_data: Trained, side: Side) -> Diagnosis:
    """The diagnosis; the base error is the dev error of the network with the most data."""
    return diagnose(errors_of(most_data, side)[1], *errors_of(trained, side))


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Each diagnosis, and the effect of its advice."""

    def both(label: str, what: str) -> tuple[float, float]:
        return n[f"{label}/{what}/manual"], n[f"{label}/{what}/torch"]

    bias = {label: both(label, "bias") for label in MODELS}
    variance = {label: both(label, "variance") for label in MODELS}
    short, long, small = (bias[k] for k in ("bigger", "trained longer", "too small"))
    eager, data, held = (variance[k] for k in ("trained longer", "more data", "regularized"))
    steps = MODELS["bigger"]["steps"]
    return (
        claim(
            all(both("too small", "high bias")) and max(long) < min(small),
            f"The small model has high bias ({small[0]:.1%}). A bigger network that is trained "
            f"longer has a bias of {long[0]:.1%}{_noise(long)}.",
            f"The small model has a bias of {small[0]:.1%}, a bigger one that is trained longer "
            f"{long[0]:.1%}: NOT a high bias that the advice reduces.",
            f"小模型的偏差高（{small[0]:.1%}）。网络更大、训练更久之后，偏差是 {long[0]:.1%}"
            f"{_noise_zh(long)}。",
            f"小模型的偏差是 {small[0]:.1%}，网络更大、训练更久之后是 {long[0]:.1%}：不是这条建议"
            "能降低的高偏差。",
        ),
        claim(
            all(both("bigger", "high bias")) and max(long) < min(short),
            f"A bigger network alone is not enough: after {steps} steps its bias is "
            f"{short[0]:.1%}. Training longer reduces it.",
            f"After {steps} steps the bias of the bigger network is {short[0]:.1%}, later "
            f"{long[0]:.1%}: NOT a high bias that longer training reduces.",
            f"只加大网络还不够：训练 {steps} 步时偏差是 {short[0]:.1%}，训练更久才会下降。",
            f"更大的网络训练 {steps} 步时偏差是 {short[0]:.1%}，后来是 {long[0]:.1%}：不是训练更久"
            "能降低的高偏差。",
        ),
        claim(
            all(both("trained longer", "high variance")) and max(*data, *held) < min(eager),
            f"The trained network has high variance ({eager[0]:.1%}). More data reduces it to "
            f"{data[0]:.1%}, L2 to {held[0]:.1%}.",
            f"The variance is {eager[0]:.1%}, with more data {data[0]:.1%}, with L2 "
            f"{held[0]:.1%}: NOT a high variance that both reduce.",
            f"训练好的网络方差高（{eager[0]:.1%}）。更多数据使它降到 {data[0]:.1%}，L2 使它降到 "
            f"{held[0]:.1%}。",
            f"方差是 {eager[0]:.1%}，数据更多时是 {data[0]:.1%}，加上 L2 时是 {held[0]:.1%}："
            "不是两者都能降低的高方差。",
        ),
        claim(
            max(bias["more data"]) < min(small) and not any(both("more data", "high variance")),
            "With enough data there is no trade-off: the big network has a bias of "
            f"{bias['more data'][0]:.1%} and a variance of {data[0]:.1%}.",
            f"Even with more data there is a trade-off: bias {bias['more data'][0]:.1%}, variance "
            f"{data[0]:.1%}.",
            f"数据足够多时不必取舍：大网络的偏差是 {bias['more data'][0]:.1%}，方差是 "
            f"{data[0]:.1%}。",
            f"数据更多时仍要取舍：偏差 {bias['more data'][0]:.1%}，方差 {data[0]:.1%}。",
        ),
    )


def _noise(bias: tuple[float, float]) -> str:
    """A train error below the base error means that the network memorised noise."""
    return " (negative, because the network memorised the noise)" if max(bias) < 0 else ""


def _noise_zh(bias: tuple[float, float]) -> str:
    return "（为负，因为网络把噪声也背了下来）" if max(bias) < 0 else ""


def _case(seed: int, options: dict[str, object]) -> Case:
    base: dict[str, object] = {
        "data": "circles",
        "samples": 150,
        "noise": 0.2,
        "dev_fraction": 0.6,
        "hidden": (30, 30),
        "activation": "tanh",
        "initializer": "xavier_normal",
        "p": 0,
        "l2": 0,
        "optimizer": "adam",
        "lr": 0.02,
        "steps": 250,
        "batch": 64,
        "log_every": 50,
        "seed": seed,
    }
    return Case.model_validate(base | options)


def _examples() -> Table:
    rows = tuple((f"{a:.1%}", f"{b:.1%}", diagnose(0, a, b).verdict) for a, b in EXAMPLES)
    columns = ("train error", "dev error", "diagnosis")
    return Table("The examples of the notes, base error 0", columns, rows, ZH_WORDS)


def _draw(n: Numbers) -> Figure:
    """Train error and dev error as a pair of bars for each model and side."""
    figure, axes = panels(1, 2, width=5)
    for ax, side in zip(axes, SIDES, strict=True):
        for i, split in enumerate(("train", "dev")):
            at = [k + 0.4 * i for k in range(len(MODELS))]
            ax.bar(at, [n[f"{label}/{split}/{side}"] for label in MODELS], 0.4, label=split)
        ax.set(title=f"error, {side}", xticks=[k + 0.2 for k in range(len(MODELS))])
        ax.set_xticklabels([label.replace(" ", "\n") for label in MODELS])
    axes[0].legend(frameon=False)
    return figure


ZH = "偏差与方差：错误率的两个差，说明下一步该改进什么。"
LESSON = Lesson("bias-variance", ("Bias和Variance",), __doc__, measure, conclude, ZH)
