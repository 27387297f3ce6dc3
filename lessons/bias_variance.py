"""Bias and variance: two differences of error rates say what to improve next.

  bias      = train error - base error    the model does not fit its samples
  variance  = dev error - train error     it fits them, but not new samples

High bias: try a bigger network, then train longer. High variance: try more
data, then regularization. The lesson follows each advice and measures its
effect, on two moons with so much noise that no model gets all points right.
With enough data there is no trade-off: a bigger network reduces bias without
raising variance.

The base error is what the best possible model would reach. Here it is known,
because the noise is: it is the error of the classifier that chooses the more
likely moon. Every model is trained on several training sets, and all of them
are measured on the same large dev set. So the other meaning of variance can be
measured too: how much the predictions change with the training set.

High means more than 5 percentage points.

Source: course 2 week 1, "bias / variance" and "basic recipe for machine
learning".
"""

from itertools import combinations

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare import data
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.lessons.experiment import Trained, train
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, judged
from torch_parity.lessons.noisy_classes import (
    DEV,
    FEW,
    MANY,
    SETS,
    base_error,
    training_case,
    training_set,
)
from torch_parity.lessons.pictures import boundaries, panels
from torch_parity.manual import diagnose

MODELS: dict[str, dict[str, object]] = {
    "too small": {"hidden": (), "lr": 0.1, "steps": 60},
    "bigger": {"steps": 10},
    "trained longer": {},
    "more data": {"samples": MANY},
    "regularized": {"l2": 0.3},
}
WHAT = ("train", "dev", "bias", "variance", "changes")
EXAMPLES = ((0.01, 0.11), (0.15, 0.16), (0.15, 0.30), (0.005, 0.01))
ZH_WORDS = {
    "The examples of the notes, base error 0": "笔记中的例子，基准错误率取 0",
    "model": "模型",
    "train error": "训练误差",
    "dev error": "开发误差",
    "bias": "偏差",
    "variance": "方差",
    "predictions that change": "随训练集变化的预测",
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
    """Five models on each training set, diagnosed from their mean errors on both sides."""
    pool = data.load(training_case(seed, {"samples": SETS * MANY + DEV}))
    runs = {
        label: [train(training_case(seed, o), training_set(pool, i, o)) for i in range(SETS)]
        for label, o in MODELS.items()
    }
    named = {f"{label}, set {i + 1}": t for label, ts in runs.items() for i, t in enumerate(ts)}
    base = base_error(pool)
    numbers = judged(named.values()) | {"base": base}
    rows = []
    for label, side in ((label, side) for label in runs for side in SIDES):
        errors = _means(runs[label], side)
        found = diagnose(base, *errors)
        values = (*errors, found.bias, found.variance, changes(runs[label], side))
        numbers |= {f"{label}/{w}/{side}": v for w, v in zip(WHAT, values, strict=True)}
        numbers |= {f"{label}/high bias/{side}": float(found.high_bias)}
        numbers |= {f"{label}/high variance/{side}": float(found.high_variance)}
        shown = tuple(f"{v:.1%}" for v in values)
        advice = ", ".join(found.advice[:2]) or "none"
        rows.append((label, side, *shown, found.verdict, advice))
    columns = (
        *("model", "side", "train error", "dev error", "bias", "variance"),
        *("predictions that change", "diagnosis", "advice"),
    )
    title = f"Means over {SETS} training sets; base error {base:.1%}"
    zh = ZH_WORDS | {title: f"{SETS} 个训练集的平均；基准错误率 {base:.1%}"}
    first = {label: trained[0] for label, trained in runs.items()}
    return Measured(
        numbers,
        (Table(title, columns, tuple(rows), zh), _examples()),
        {"errors": _draw(numbers), "boundaries": boundaries(first, len(first))},
        named,
    )


def changes(trained: list[Trained], side: Side) -> float:
    """The share of dev for which two training sets lead to other predictions, as a mean over all
    pairs of training sets."""
    predicted = [t.output(side, t.data.x_dev) > 0.5 for t in trained]
    return float(np.mean([np.mean(a != b) for a, b in combinations(predicted, 2)]))


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Each diagnosis, and the effect of its advice."""
    return _small(n), _bigger(n), _longer(n), _unstable(n), _enough(n), _floor(n)


def _both(n: Numbers, label: str, what: str) -> tuple[float, float]:
    return n[f"{label}/{what}/manual"], n[f"{label}/{what}/torch"]


def _small(n: Numbers) -> Claim:
    bias, variance = _both(n, "too small", "bias"), _both(n, "too small", "variance")
    longer = _both(n, "trained longer", "bias")
    high = all(_both(n, "too small", "high bias")) and not any(
        _both(n, "too small", "high variance")
    )
    return claim(
        high and max(longer) < min(bias),
        f"The small model has high bias ({bias[0]:.1%}) and low variance ({variance[0]:.1%}). A "
        f"bigger network that is trained longer has a bias of {longer[0]:.1%}{_noise(longer)}.",
        f"The small model has a bias of {bias[0]:.1%} and a variance of {variance[0]:.1%}, a "
        f"bigger one that is trained longer a bias of {longer[0]:.1%}: NOT a high bias that the "
        "advice reduces.",
        f"小模型偏差高（{bias[0]:.1%}），方差低（{variance[0]:.1%}）。网络更大、训练更久之后，"
        f"偏差是 {longer[0]:.1%}{_noise_zh(longer)}。",
        f"小模型的偏差是 {bias[0]:.1%}，方差是 {variance[0]:.1%}，网络更大、训练更久之后偏差是 "
        f"{longer[0]:.1%}：不是这条建议能降低的高偏差。",
    )


def _bigger(n: Numbers) -> Claim:
    short, long = _both(n, "bigger", "bias"), _both(n, "trained longer", "bias")
    steps = MODELS["bigger"]["steps"]
    return claim(
        all(_both(n, "bigger", "high bias")) and max(long) < min(short),
        f"A bigger network alone is not enough: after {steps} steps its bias is {short[0]:.1%}. "
        "Training longer reduces it.",
        f"After {steps} steps the bias of the bigger network is {short[0]:.1%}, later "
        f"{long[0]:.1%}: NOT a high bias that longer training reduces.",
        f"只加大网络还不够：训练 {steps} 步时偏差是 {short[0]:.1%}，训练更久才会下降。",
        f"更大的网络训练 {steps} 步时偏差是 {short[0]:.1%}，后来是 {long[0]:.1%}：不是训练更久"
        "能降低的高偏差。",
    )


def _longer(n: Numbers) -> Claim:
    eager, more, held = (
        _both(n, label, "variance") for label in ("trained longer", "more data", "regularized")
    )
    dev = [_both(n, label, "dev") for label in ("trained longer", "more data", "regularized")]
    falls = max(*more, *held) < min(eager) and max(*dev[1], *dev[2]) < min(dev[0])
    found = (
        f"More data reduces it to {more[0]:.1%}, L2 to {held[0]:.1%}. The dev error falls from "
        f"{dev[0][0]:.1%} to {dev[1][0]:.1%} and {dev[2][0]:.1%}"
    )
    found_zh = (
        f"更多数据使它降到 {more[0]:.1%}，L2 使它降到 {held[0]:.1%}；开发误差从 {dev[0][0]:.1%} "
        f"分别降到 {dev[1][0]:.1%} 和 {dev[2][0]:.1%}"
    )
    return claim(
        all(_both(n, "trained longer", "high variance")) and falls,
        f"The trained network has high variance ({eager[0]:.1%}). {found}.",
        f"The variance is {eager[0]:.1%}. It is NOT so here that it is high, and that both "
        f"remedies reduce variance and dev error. {found}.",
        f"训练好的网络方差高（{eager[0]:.1%}）。{found_zh}。",
        f"方差是 {eager[0]:.1%}。{found_zh}。这里并非方差高，而且两种办法都降低方差和开发误差。",
    )


def _unstable(n: Numbers) -> Claim:
    eager, small, more = (
        _both(n, label, "changes") for label in ("trained longer", "too small", "more data")
    )
    found = (
        f"with another training set of {FEW} samples, {eager[0]:.1%} of the trained network's "
        f"predictions change, but only {small[0]:.1%} of the small model's; with {MANY} samples "
        f"{more[0]:.1%}"
    )
    found_zh = (
        f"换一个 {FEW} 个样本的训练集，训练好的大网络有 {eager[0]:.1%} 的预测会变，小模型只有 "
        f"{small[0]:.1%}；训练集有 {MANY} 个样本时，大网络是 {more[0]:.1%}"
    )
    return claim(
        max(*small, *more) < min(eager),
        f"High variance also means that the output depends on the training set: {found}.",
        f"The output does NOT depend more on the training set where the variance is high: {found}.",
        f"高方差也意味着输出依赖于训练集：{found_zh}。",
        f"这里方差高的模型，输出并没有更依赖训练集：{found_zh}。",
    )


def _enough(n: Numbers) -> Claim:
    bias, variance = _both(n, "more data", "bias"), _both(n, "more data", "variance")
    low = not any((*_both(n, "more data", "high bias"), *_both(n, "more data", "high variance")))
    return claim(
        low,
        f"With enough data there is no trade-off: the big network has a bias of {bias[0]:.1%} and "
        f"a variance of {variance[0]:.1%}.",
        f"Even with more data there IS a trade-off: bias {bias[0]:.1%}, variance "
        f"{variance[0]:.1%}.",
        f"数据足够多时不必取舍：大网络的偏差是 {bias[0]:.1%}，方差是 {variance[0]:.1%}。",
        f"数据更多时仍要取舍：偏差 {bias[0]:.1%}，方差 {variance[0]:.1%}。",
    )


def _floor(n: Numbers) -> Claim:
    best = min(min(_both(n, label, "dev")) for label in MODELS)
    return claim(
        best >= n["base"],
        f"No model has a lower dev error than the best possible classifier: {best:.1%} against "
        f"{n['base']:.1%}.",
        f"A model has a LOWER dev error than the best possible classifier: {best:.1%} against "
        f"{n['base']:.1%}.",
        f"没有哪个模型的开发误差低于最优分类器：最低的是 {best:.1%}，"
        f"最优分类器是 {n['base']:.1%}。",
        f"有一个模型的开发误差低于最优分类器：{best:.1%} 与 {n['base']:.1%}。",
    )


def _noise(bias: tuple[float, float]) -> str:
    """A train error below the base error means that the network memorised noise."""
    return " (negative, because the network memorised the noise)" if max(bias) < 0 else ""


def _noise_zh(bias: tuple[float, float]) -> str:
    return "（为负，因为网络把噪声也背了下来）" if max(bias) < 0 else ""


def _means(trained: list[Trained], side: Side) -> tuple[float, float]:
    """The error rates on train and on dev, as means over the training sets."""
    last = ([t.last(side, f"accuracy/{split}") for t in trained] for split in ("train", "dev"))
    train_error, dev_error = (1 - float(np.mean(scores)) for scores in last)
    return train_error, dev_error


def _examples() -> Table:
    rows = tuple((f"{a:.1%}", f"{b:.1%}", diagnose(0, a, b).verdict) for a, b in EXAMPLES)
    columns = ("train error", "dev error", "diagnosis")
    return Table("The examples of the notes, base error 0", columns, rows, ZH_WORDS)


def _draw(n: Numbers) -> Figure:
    """Train error and dev error as a pair of bars for each model and side; the base as a line."""
    figure, axes = panels(1, 2, width=5)
    for ax, side in zip(axes, SIDES, strict=True):
        for i, split in enumerate(("train", "dev")):
            at = [k + 0.4 * i for k in range(len(MODELS))]
            ax.bar(at, [n[f"{label}/{split}/{side}"] for label in MODELS], 0.4, label=split)
        ax.axhline(n["base"], color="black", lw=0.8, ls=":", label="base")
        ax.set(title=f"error, {side}", xticks=[k + 0.2 for k in range(len(MODELS))])
        ax.set_xticklabels([label.replace(" ", "\n") for label in MODELS])
    axes[0].legend(frameon=False)
    return figure


ZH = "偏差与方差：错误率的两个差，说明下一步该改进什么。"
LESSON = Lesson("bias-variance", ("Bias和Variance",), __doc__, measure, conclude, ZH)
