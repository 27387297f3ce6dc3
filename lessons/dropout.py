"""Dropout: only in training, the same mask in both passes, the mean unchanged.

  mask          0 with probability p, else 1/(1 - p)      keep_prob = 1 - p
  forward       h = a * mask
  backward      da = dh * mask, the same mask, including its scale
  evaluation    h = a

All have the shape (m, n): m samples, n units. Each sample has its own mask.
Dividing by keep_prob keeps the expected activation: E[h] = a for every
keep_prob, so evaluation needs no change. (With 0.5 the units that remain are
doubled.) A network that cannot rely on any single unit memorises its few
samples less.

The lesson plants each of the classical mistakes on both sides. The judge is not
told which one.

Source: course 2 week 1, "dropout regularization"; programming assignment
"regularization".
"""

import numpy as np
import torch
from matplotlib.figure import Figure

from torch_parity import manual
from torch_parity.compare import data
from torch_parity.compare.causes.dropout import CAUSES
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import record
from torch_parity.lessons.experiment import Trained, noisy_moons, train
from torch_parity.lessons.lesson import (
    Claim,
    Lesson,
    Measured,
    Numbers,
    Table,
    claim,
    compared,
    judged,
)
from torch_parity.lessons.mistakes import plant_each
from torch_parity.lessons.pictures import boundaries, panels
from torch_parity.torch_ref.ops.dropout import dropout

KEPT = (0.5, 0.8, 0.2)
DRAWS, UNITS = 4000, 20


def measure(seed: int) -> Measured:
    """The expectation, both passes, training and evaluation, and each mistake."""
    runs = {f"p {p:g}": train(noisy_moons(seed, p=p)) for p in (0.0, 0.5)}
    means = {(side, kept): mean_kept(side, kept, seed) for side in SIDES for kept in KEPT}
    numbers = judged(runs.values()) | _one_step(seed)
    for (side, kept), (mean, error) in means.items():
        numbers |= {f"mean/{kept}/{side}": mean, f"error/{kept}/{side}": error}
    for side in SIDES:
        numbers |= {f"evaluation/{side}": evaluation_noise(runs["p 0.5"], side)}
        for label, trained in runs.items():
            train_loss, dev_loss = (trained.last(side, f"loss/{s}") for s in ("train", "dev"))
            numbers |= {f"{label}/gap/{side}": dev_loss - train_loss}
    numbers["training/torch"] = _training_noise(runs["p 0.5"])
    planted, mistakes = plant_each(CAUSES)
    numbers |= planted
    tables = (_expectation(numbers), _losses(numbers, runs), mistakes)
    figures = {"expectation": _draw(numbers), "boundaries": boundaries(runs, 2)}
    return Measured(numbers, tables, figures, runs)


def mean_kept(side: Side, kept: float, seed: int) -> tuple[float, float]:
    """The mean of sum(h) / sum(a) over many masks, and its standard error; 1 is expected."""
    rng = np.random.default_rng([seed, 4])
    a = np.tile(manual.sigmoid(rng.standard_normal(UNITS)), (DRAWS, 1))
    if side == "manual":
        h = manual.dropout(a, manual.dropout_mask(rng, a.shape, 1 - kept))
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            h = dropout(1 - kept)(torch.tensor(a)).numpy()
    ratios = h.sum(axis=1) / a.sum(axis=1)
    return float(ratios.mean()), float(ratios.std(ddof=1) / np.sqrt(DRAWS))


def evaluation_noise(trained: Trained, side: Side) -> float:
    """The greatest difference between two evaluations of the same samples."""
    first, second = (trained.output(side, trained.data.x_dev) for _ in range(2))
    return float(np.abs(first - second).max())


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Expectation, mask, evaluation, regularization, mistakes."""
    return _kept(n), _masked(n), _off(n), _regularizes(n), _found(n)


def _kept(n: Numbers) -> Claim:
    found = "; ".join(
        f"keep_prob {kept}: "
        + ", ".join(f"{n[f'mean/{kept}/{s}']:.4f} +- {n[f'error/{kept}/{s}']:.4f}" for s in SIDES)
        for kept in KEPT
    )
    found_zh = found.replace(": ", "：").replace(", ", "，").replace("; ", "；")
    off = max(
        abs(n[f"mean/{kept}/{s}"] - 1) / n[f"error/{kept}/{s}"] for kept in KEPT for s in SIDES
    )
    return claim(
        off < 4,
        f"Dropout keeps the expected activation. Mean of h / a in NumPy and torch: {found}. All "
        f"are within {off:.1f} standard errors of 1.",
        f"Dropout does NOT keep the expected activation. Mean of h / a in NumPy and torch: "
        f"{found}. They are up to {off:.1f} standard errors away from 1.",
        f"dropout 不改变激活值的期望。h / a 的平均（手写，torch）：{found_zh}。"
        f"与 1 的距离都不超过 {off:.1f} 个标准误。",
        f"dropout 改变了激活值的期望。h / a 的平均（手写，torch）：{found_zh}。"
        f"与 1 的距离达到 {off:.1f} 个标准误。",
    )


def _masked(n: Numbers) -> Claim:
    left = max(n[f"dropped {way}/{s}"] for way in ("forward", "backward") for s in SIDES)
    return claim(
        left == 0 < n["dropped"],
        f"Both passes use the same mask: {n['dropped']:.0f} dropped entries are 0 in h and in da.",
        f"The passes do NOT use the same mask: one of {n['dropped']:.0f} dropped entries is "
        f"{left:.2g}.",
        f"前向和反向用同一个 mask：{n['dropped']:.0f} 个关掉的元素在 h 和 da 中都是 0。",
        f"前向和反向用的不是同一个 mask：{n['dropped']:.0f} 个关掉的元素中有一个是 {left:.2g}。",
    )


def _off(n: Numbers) -> Claim:
    still = max(n[f"evaluation/{s}"] for s in SIDES)
    noise = n["training/torch"]
    return claim(
        still == 0 < noise,
        f"Evaluation is not random: two evaluations of the same samples differ by {still:g}. In "
        f"train() mode the outputs of the same network differ by up to {noise:.2f}.",
        f"It is NOT so that evaluation is not random (difference {still:g}) and training is "
        f"(difference {noise:.2f}).",
        f"评估时没有随机性：对同样的样本评估两次，差距是 {still:g}。如果留在 train() 模式，"
        f"同一网络的两次输出最多相差 {noise:.2f}。",
        f"评估时应当没有随机性（差距 {still:g}），训练时应当有（差距 {noise:.2f}），这里并非如此。",
    )


def _regularizes(n: Numbers) -> Claim:
    without, held = ([n[f"p {p}/gap/{s}"] for s in SIDES] for p in ("0", "0.5"))
    found = f"dev loss - train loss is {without[0]:.3f} without it, {held[0]:.3f} with p = 0.5"
    found_zh = f"开发集损失减训练集损失，不用时是 {without[0]:.3f}，p = 0.5 时是 {held[0]:.3f}"
    return claim(
        max(held) < min(without),
        f"Dropout regularizes: {found}.",
        f"Dropout did NOT regularize here: {found}.",
        f"dropout 有正则化作用：{found_zh}。",
        f"这里 dropout 没有起到正则化作用：{found_zh}。",
    )


def _found(n: Numbers) -> Claim:
    named = sum(n[f"{cause.name}/named/{s}"] for cause in CAUSES for s in SIDES)
    planted = len(CAUSES) * len(SIDES)
    return claim(
        named == planted,
        f"The judge named each of the {len(CAUSES)} classical mistakes on each side, and no other "
        "mistake with it.",
        f"The judge did NOT name all planted mistakes without another one: only {named:.0f} of "
        f"{planted}.",
        f"{len(CAUSES)} 个经典错误，无论植入哪一边，裁判都指出了名字，而且没有误指别的错误。",
        f"植入的 {planted} 个错误，裁判只准确指出了 {named:.0f} 个。",
    )


def _one_step(seed: int) -> dict[str, float]:
    """The largest entry of the dropped units, forward and backward."""
    case = noisy_moons(seed, p=0.5)
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        step = record(sides, loaded.x_train, sides.targets.y_train, count=1)[0]
    dropped = step.start["mask1"] == 0
    numbers = compared(step.manual, step.torch, step.start, step.nodes) | {
        "dropped": float(dropped.sum())
    }
    for side in SIDES:
        for way, name in (("forward", "h1"), ("backward", "da1")):
            left = np.abs(step.trace(side)[name][dropped]).max()
            numbers[f"dropped {way}/{side}"] = float(left)
    return numbers


def _training_noise(trained: Trained) -> float:
    """The greatest difference between two outputs without eval()."""
    net, x = trained.pair.torch.net.train(), torch.tensor(trained.data.x_dev)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(trained.case.seed)
        return float((net(x) - net(x)).abs().max())


def _expectation(n: Numbers) -> Table:
    rows = tuple(
        (
            f"{kept}",
            *(f"{n[f'mean/{kept}/{s}']:.4f} +- {n[f'error/{kept}/{s}']:.4f}" for s in SIDES),
        )
        for kept in KEPT
    )
    title = f"Mean of h / a over {DRAWS} masks of {UNITS} units"
    zh = {title: f"h / a 的平均：{DRAWS} 个 mask，每个 {UNITS} 个单元"}
    return Table(title, ("keep_prob", *SIDES), rows, zh)


def _losses(n: Numbers, runs: dict[str, Trained]) -> Table:
    rows = tuple(
        (
            label,
            *(f"{t.last(s, f'loss/{split}'):.4f}" for split in ("train", "dev") for s in SIDES),
        )
        for label, t in runs.items()
    )
    columns = ("dropout", "train, manual", "torch", "dev, manual", "torch")
    return Table("Loss", columns, rows, {"Loss": "损失", "dropout": "dropout"})


def _draw(n: Numbers) -> Figure:
    figure, (ax,) = panels(1, 1, width=5)
    for shift, side in ((-0.01, "manual"), (0.01, "torch")):
        means = [n[f"mean/{kept}/{side}"] for kept in KEPT]
        errors = [n[f"error/{kept}/{side}"] for kept in KEPT]
        ax.errorbar([k + shift for k in KEPT], means, errors, fmt="o", capsize=3, label=side)
    ax.plot([0, 1], [0, 1], ":", color="grey", label="without 1/keep_prob")
    ax.axhline(1, color="black", lw=0.8)
    ax.set(xlabel="keep_prob", ylabel="E[h] / a")
    ax.legend(frameon=False)
    return figure


ZH = "Dropout：只在训练时使用，前向和反向用同一个 mask，激活值的期望不变。"
LESSON = Lesson("dropout", ("Dropout",), __doc__, measure, conclude, ZH)
