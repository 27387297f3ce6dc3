"""Schedules: mini-batches make gradients noisy, and a falling rate settles them.

  noise     the mean of b gradients has deviation sigma / sqrt(b)
  step      lr_t = lr gamma^floor(t / step_size)
  cosine    lr_t = lr (1 + cos(pi (t - T0) / (T - T0))) / 2
  warm-up   lr_t = lr (t + 1) / (T0 + 1)  in the first T0 steps

t counts the steps done, T is their number, T0 that of the warm-up. A
mini-batch gives a noisy gradient for a small part of the work. For the same
number of passes over the data there are more steps. But with a constant lr the
weights never come to rest: in a valley w^2 / 2 with noise of deviation 1,

  w := w - lr (w + noise)    and w^2 stays at lr / (2 - lr), on average.

A smaller lr comes closer, but takes long. So begin with a large one and let it
fall. Warm-up is for Adam: its first steps are of full length even if the
gradient is noise alone; later v has averaged the noise away.

Source: course 2 week 2, "mini-batch gradient descent", "learning rate decay";
Loshchilov and Hutter 2017; Goyal et al. 2017.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.show.curves import STYLE
from torch_parity.lessons.experiment import Trained, train
from torch_parity.lessons.lesson import (
    Claim,
    Lesson,
    Measured,
    Numbers,
    Table,
    claim,
    judged,
)
from torch_parity.lessons.mistakes import all_named, plant_alone
from torch_parity.lessons.noise import (
    BETA,
    COPIES,
    DRAWS,
    LATER,
    LR,
    SCHEDULES,
    SMALL,
    STEPS,
    deviations,
    steps_of_adam,
    valley,
)
from torch_parity.lessons.pictures import curves, panels

BATCHES, PASSES = (320, 64, 16), 4
# Two other mistakes of schedules look alike in a single step, and the judge names both.
PLANTED = tuple(
    CATALOGUE[name] for name in ("schedule_one_step_off", "warmup_missing", "warmup_from_zero")
)


def measure(seed: int) -> Measured:
    """The noise of batches, trainings with several sizes, the valley, Adam's steps, mistakes."""
    noise = np.random.default_rng([seed, 21]).standard_normal((STEPS, COPIES))
    walks = {(name, s): valley(s, name, noise) for name in SCHEDULES for s in SIDES}
    runs = {f"batch {b}": train(_case(seed, b)) for b in BATCHES}
    numbers = judged(runs.values())
    for side in SIDES:
        numbers |= deviations(runs["batch 320"].data, side, seed) | steps_of_adam(side, noise)
        for label, trained in runs.items():
            numbers[f"{label}/loss/{side}"] = trained.last(side, "loss/train")
        for name in SCHEDULES:
            rates, squares = walks[name, side]
            numbers[f"{name}/rest/{side}"] = float(squares[-STEPS // 8 :].mean())
            numbers[f"{name}/end/{side}"] = float(squares[-1])
            numbers[f"{name}/rates/{side}"] = float(np.abs(rates - walks[name, "manual"][0]).max())
    planted, mistakes = plant_alone(PLANTED)
    tables = (_noises(numbers), _batches(numbers, runs), _ends(numbers), mistakes)
    figures = {"loss": curves(runs, "loss/train"), "valley": _draw(walks)}
    return Measured(numbers | planted, tables, figures, runs)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The noise, more steps, no rest, schedules, warm-up, mistakes."""
    return (
        *(_root(n), _more_steps(n), _restless(n), _settles(n), _first_steps(n)),
        all_named(n, PLANTED),
    )


def _root(n: Numbers) -> Claim:
    found = {b: [n[f"noise/{b}/{s}"] for s in SIDES] for b in SMALL}
    factors = [a / b for x, y in pairwise(SMALL) for a, b in zip(found[x], found[y], strict=True)]
    told = ", ".join(f"{both[0]:.3f} with {b} samples" for b, both in found.items())
    told_zh = "，".join(f"{b} 个样本时是 {both[0]:.3f}" for b, both in found.items())
    return claim(
        all(1.8 < factor < 2.2 for factor in factors),
        f"Four times as many samples halve the noise of a gradient: its deviation is {told}.",
        f"Four times as many samples do NOT halve the noise of a gradient: its deviation is "
        f"{told}.",
        f"样本数变成四倍，梯度的噪声减半：标准差，{told_zh}。",
        f"样本数变成四倍，梯度的噪声并没有减半：标准差，{told_zh}。",
    )


def _more_steps(n: Numbers) -> Claim:
    loss = {b: [n[f"batch {b}/loss/{s}"] for s in SIDES] for b in BATCHES}
    found = ", ".join(f"{both[0]:.3f} with batches of {b}" for b, both in loss.items())
    found_zh = "，".join(f"批量为 {b} 时是 {both[0]:.3f}" for b, both in loss.items())
    falls = all(max(loss[b]) < min(loss[a]) for a, b in pairwise(BATCHES))
    return claim(
        falls,
        f"Smaller batches learn more from the same data: after {PASSES} passes the loss is "
        f"{found}.",
        f"Smaller batches did NOT learn more here: after {PASSES} passes the loss is {found}.",
        f"批量越小，同样的数据学到的越多：数据过了 {PASSES} 遍之后，损失在{found_zh}。",
        f"这里批量小并没有学到更多：数据过了 {PASSES} 遍之后，损失在{found_zh}。",
    )


def _restless(n: Numbers) -> Claim:
    rest, expected = [n[f"constant/rest/{s}"] for s in SIDES], LR / (2 - LR)
    return claim(
        all(abs(v / expected - 1) < 0.1 for v in rest),
        f"With a constant lr of {LR:g} the weights do not come to rest: w^2 stays at {rest[0]:.4f} "
        f"on average, and lr / (2 - lr) is {expected:.4f}.",
        f"With a constant lr of {LR:g}, w^2 does NOT stay at lr / (2 - lr) = {expected:.4f}: it is "
        f"{rest[0]:.4f}.",
        f"学习率恒为 {LR:g} 时，权重停不下来：w^2 平均停留在 {rest[0]:.4f}，而 lr / (2 - lr) 是 "
        f"{expected:.4f}。",
        f"学习率恒为 {LR:g} 时，w^2 并没有停留在 lr / (2 - lr) = {expected:.4f}，"
        f"而是 {rest[0]:.4f}。",
    )


def _settles(n: Numbers) -> Claim:
    ends = {name: [n[f"{name}/end/{s}"] for s in SIDES] for name in SCHEDULES}
    off = max(n[f"{name}/rates/{s}"] for name in SCHEDULES for s in SIDES)
    told = ", ".join(f"{both[0]:.5f} with {name}" for name, both in ends.items())
    told_zh = "，".join(f"{name} 是 {both[0]:.5f}" for name, both in ends.items())
    return claim(
        5 * max(*ends["step"], *ends["cosine"]) < min(ends["constant"]) and off < 1e-15,
        f"If lr falls, they settle: after {STEPS} steps w^2 is {told}. (The sides' learning rates "
        f"differ by at most {off:.1e}.)",
        f"They did NOT settle when lr falls, or the sides' learning rates differ ({off:.1e}): "
        f"after {STEPS} steps w^2 is {told}.",
        f"学习率逐渐下降，权重就会安定下来：{STEPS} 步之后 w^2，{told_zh}。（两边的学习率"
        f"相差不超过 {off:.1e}。）",
        f"学习率下降，权重却没有安定下来，或者两边的学习率不同（{off:.1e}）：{STEPS} 步之后 w^2，"
        f"{told_zh}。",
    )


def _first_steps(n: Numbers) -> Claim:
    first, later = ([n[f"adam/{k}/{s}"] for s in SIDES] for k in ("first", "later"))
    expected = float(np.sqrt((1 - BETA) / (1 + BETA)))
    return claim(
        all(abs(v - 1) < 1e-6 for v in first) and all(abs(v / expected - 1) < 0.1 for v in later),
        f"If the gradient is noise alone, Adam's first step has the length {first[0]:.2f} lr, and "
        f"a step after {LATER} others has {later[0]:.2f} lr. A warm-up shortens the first steps.",
        f"If the gradient is noise alone, Adam's first step has the length {first[0]:.2f} lr and a "
        f"later one {later[0]:.2f} lr: NOT 1 and {expected:.2f}.",
        f"梯度只有噪声时，Adam 的第一步长 {first[0]:.2f} lr，走过 {LATER} 步之后每步长 "
        f"{later[0]:.2f} lr：预热正是为了弥补这一点。",
        f"梯度只有噪声时，Adam 的第一步长 {first[0]:.2f} lr，后来每步长 {later[0]:.2f} lr，并不是 "
        f"1 和 {expected:.2f}。",
    )


def _noises(n: Numbers) -> Table:
    title = f"The deviation of the gradient of a random batch, over {DRAWS} batches"
    rows = tuple((str(b), *(f"{n[f'noise/{b}/{s}']:.4f}" for s in SIDES)) for b in SMALL)
    zh = {title: f"随机批量的梯度的标准差，取 {DRAWS} 个批量", "samples": "样本数"}
    return Table(title, ("samples", *SIDES), rows, zh)


def _case(seed: int, batch: int) -> Case:
    return Case.model_validate(
        {
            "data": "moons",
            "samples": 400,
            "hidden": (8,),
            "activation": "tanh",
            "initializer": "xavier_normal",
            "p": 0,
            "l2": 0,
            "optimizer": "sgd",
            "lr": 0.3,
            "steps": PASSES * 320 // batch,
            "batch": batch,
            "log_every": max(1, PASSES * 320 // batch // 4),
            "seed": seed,
        }
    )


def _batches(n: Numbers, runs: Mapping[str, Trained]) -> Table:
    title = f"Moons, {PASSES} passes over 320 samples, plain descent"
    rows = tuple(
        (str(t.case.batch), str(t.steps), *(f"{n[f'{label}/loss/{s}']:.4f}" for s in SIDES))
        for label, t in runs.items()
    )
    zh = {
        title: f"moons 数据，320 个样本过 {PASSES} 遍，普通梯度下降",
        "batch": "批量",
        "steps": "步数",
    }
    return Table(title, ("batch", "steps", "loss, manual", "torch"), rows, zh)


def _ends(n: Numbers) -> Table:
    title = f"A valley w^2 / 2 with noise, {COPIES} copies: the mean of w^2 after {STEPS} steps"
    rows = tuple((name, *(f"{n[f'{name}/end/{s}']:.5f}" for s in SIDES)) for name in SCHEDULES)
    zh = {
        title: f"带噪声的峡谷 w^2 / 2，{COPIES} 个副本：{STEPS} 步之后 w^2 的平均值",
        "schedule": "学习率",
        "constant": "恒定",
        "step": "逐级下降",
        "cosine": "余弦，带预热",
    }
    return Table(title, ("schedule", *SIDES), rows, zh)


def _draw(walks: Mapping[tuple[str, Side], tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The learning rate, and below it the mean of w^2, step by step."""
    figure, axes = panels(2, len(SCHEDULES), width=2.6)
    for (name, side), (rates, squares) in walks.items():
        k = list(SCHEDULES).index(name)
        axes[k].plot(rates, label=side, **STYLE[side])
        axes[k].set(title=name, ylim=(0, 1.1 * LR))
        axes[len(SCHEDULES) + k].semilogy(squares, **STYLE[side])
        axes[len(SCHEDULES) + k].set(xlabel="step", ylim=(1e-4, 10))
    axes[0].set(ylabel="lr")
    axes[len(SCHEDULES)].set(ylabel="mean of w^2")
    return figure


ZH = "学习率的安排：小批量使梯度带有噪声，学习率下降使权重安定下来。"
LESSON = Lesson("schedules", (), __doc__, measure, conclude, ZH)
