"""Transformer: attention, then a small network for each position, and again.

  h0 = wte[x] + wpe                a row for each character, one for its place
  h1 = h0 + attention(norm(h0)) @ Wo.T + bo
  h2 = h1 + gelu(norm(h1) @ W1.T + b1) @ W2.T + b2
  scores = norm(h2) @ Wh.T + bh    of the next character, at every position

  x (t,), wte (n, c), wpe (t, c), h0, h1, h2 (t, c), scores (t, n)

  backward  h1 and h2 are sums, so their gradient goes to both terms unchanged:
            dh1 = dh2 + what comes back through the small network
            dh0 = dh1 + what comes back through attention
            dwpe = dh0,  and dwte[j] = sum of dh0 over the places of character j

Attention is the only line in which a position sees another one, and it sees
earlier ones alone. So all positions can learn to guess the next character at
once. The norms stand inside the branches ("pre-norm"): h itself passes every
block by sums alone, and so does its gradient on the way back.

Source: Vaswani et al. 2017, "Attention is all you need"; Radford et al. 2019,
"Language models are unsupervised multitask learners"; course 5 week 4.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from torch_parity import manual
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.data.text import LARGEST, decode
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.runs.text_model import written
from torch_parity.compare.show.attention_maps import attention_maps
from torch_parity.compare.sources.recorded import Both
from torch_parity.compare.tensors import to_torch
from torch_parity.lessons.by_operations import exact_gradient, in_torch, law
from torch_parity.lessons.experiment import Trained, train
from torch_parity.lessons.lesson import (
    Claim,
    Lesson,
    Measured,
    Numbers,
    Table,
    claim,
    compared,
    gap,
    judged,
    worst,
)
from torch_parity.lessons.mistakes import all_named, plant_in
from torch_parity.lessons.pictures import curves
from torch_parity.lessons.transformer_block import backward, forward, given_at_first, torch_forward
from torch_parity.lessons.transformer_wiring import all_found, plant_wired
from torch_parity.manual.models.step import Attends, Tensors

PLANTED = tuple(
    CATALOGUE[name]
    for name in (
        "causal_mask_missing",
        "attention_mask_after_softmax",
        "attention_scale_missing",
        "norm_gradient_without_mean",
        "another_activation",
        "shortcut_gradient_missing",
    )
)


SHIFTED, ITSELF = "next character", "same character"  # what a training's targets are
STEPS = {SHIFTED: 40, ITSELF: 15}


def measure(seed: int) -> Measured:
    """One block on both sides, the order of characters, two trainings, and planted mistakes."""
    given, dscores = given_at_first(seed)
    start = {**given, "dscores": dscores}
    by_hand = forward(given)
    by_hand |= backward(start, by_hand)
    by_torch = in_torch(torch_forward, given, dscores, constants=("x",))
    both = Both(law(forward, given, constants=("x",)), start, by_hand, by_torch)
    asked = given.keys() - {"x", "bk"}  # the gradient of bk is 0: see the lesson on attention
    exact = {f"d{n}": exact_gradient(forward, given, dscores, n) for n in asked}
    text = data.load(_case(seed, SHIFTED))
    itself = replace(text, labels_train=text.x_train, labels_dev=text.x_dev)
    runs = {
        label: train(_case(seed, label), read)
        for label, read in ((SHIFTED, text), (ITSELF, itself))
    }
    numbers = compared(by_hand, by_torch, start, both.nodes) | judged(runs.values())
    numbers |= {"frequencies": _entropy(text.labels_train), "least": _least()}
    for side in SIDES:
        t = both.trace(side)
        numbers[f"exact/{side}"] = max(gap(t[n], exact[n]) for n in exact)
        for name, wpe in (("with", given["wpe"]), ("without", 0 * given["wpe"])):
            numbers[f"order/{name}/{side}"] = _order(side, {**given, "wpe": wpe})
        for label, trained in runs.items():
            numbers[f"{label}/{side}"] = trained.last(side, "loss/dev")
    texts = {side: _written(runs[SHIFTED], side) for side in SIDES}
    numbers["same text"] = float(texts["manual"] == texts["torch"])
    planted, mistakes = plant_in(both, PLANTED)
    wired, wirings = plant_wired(both, seed)
    tables = (_losses(numbers), _texts(texts), mistakes, wirings)
    figures = {"loss": curves(runs, "loss/dev"), "looks": _draw(runs[SHIFTED])}
    return Measured(numbers | planted | wired, tables, figures, runs)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The gradient, positions, the training, the text, targets not shifted, mistakes."""
    return (
        *(_exact(n), _positions(n), _learns(n), _same_text(n), _too_good(n)),
        *(all_named(n, PLANTED), all_found(n)),
    )


def _exact(n: Numbers) -> Claim:
    gap = worst(n, "exact")
    return claim(
        gap < 1e-12,
        f"The backward lines give the exact gradient of all parameters: on both sides the "
        f"difference is at most {gap:.1e} of the largest entry.",
        f"The backward lines do NOT give the exact gradient: they differ by {gap:.1e}.",
        f"反向传播的各行给出所有参数的精确梯度：两边的误差都不超过最大元素的 {gap:.1e}。",
        f"反向传播的各行给出的不是精确梯度：相差 {gap:.1e}。",
    )


def _positions(n: Numbers) -> Claim:
    still, moved = worst(n, "order/without"), min(n[f"order/with/{s}"] for s in SIDES)
    return claim(
        still < 1e-12 < 1e-3 < moved,
        f"Without wpe the last position cannot tell 17 from 71: its scores move by {still:.1g} if "
        f"the two digits change places. With wpe they move by {moved:.2f}.",
        f"The scores of the last position do NOT need wpe to tell 17 from 71: without it they move "
        f"by {still:.1g}, with it by {moved:.2f}.",
        f"没有 wpe，最后一个位置分不清 17 和 71：两个数字对调，它的分数变化 {still:.1g}；有 wpe "
        f"时变化 {moved:.2f}。",
        f"最后一个位置不靠 wpe 也能分清 17 和 71：没有 wpe 时分数变化 {still:.1g}，有 wpe 时变化 "
        f"{moved:.2f}。",
    )


def _learns(n: Numbers) -> Claim:
    loss = [n[f"{SHIFTED}/{s}"] for s in SIDES]
    steps, known = STEPS[SHIFTED], n["frequencies"]
    return claim(
        max(loss) < known,
        f"After {steps} steps the GPT uses what it has read: its loss on new text is "
        f"{loss[0]:.2f}, and {known:.2f} is the best for a model that knows only how frequent each "
        "character is.",
        f"After {steps} steps the GPT does NOT use what it has read: its loss on new text is "
        f"{loss[0]:.2f}, and the frequencies of the characters alone give {known:.2f}.",
        f"训练 {steps} 步之后，GPT 用上了读到的内容：在新文本上的损失是 {loss[0]:.2f}，而只知道"
        f"各字符频率的模型最好也只能到 {known:.2f}。",
        f"训练 {steps} 步之后，GPT 还没有用上读到的内容：在新文本上的损失是 {loss[0]:.2f}，"
        f"而只靠各字符的频率就有 {known:.2f}。",
    )


def _same_text(n: Numbers) -> Claim:
    return claim(
        n["same text"] == 1,
        "Both sides write the same text, because they draw with the same random numbers.",
        "The sides do NOT write the same text.",
        "两边用同样的随机数抽取字符，写出的文本完全相同。",
        "两边写出的文本不同。",
    )


def _too_good(n: Numbers) -> Claim:
    cheat, honest = worst(n, ITSELF), min(n[f"{SHIFTED}/{s}"] for s in SIDES)
    least = n["least"]
    return claim(
        cheat < least < honest,
        f"If the targets are not shifted, the loss falls to {cheat:.3f}. No model can get below "
        f"{least:.2f} on new sums, because their digits are drawn at random. The judge lets every "
        "step pass: both sides make the same mistake.",
        f"Targets that are not shifted did NOT give a loss below the least possible one, "
        f"{least:.2f}: it is {cheat:.2f}, and {honest:.2f} if they are shifted.",
        f"目标没有错开一位时，损失降到 {cheat:.3f}。可是算式里的数字是随机抽取的，任何模型在新"
        f"算式上的损失都不可能低于 {least:.2f}。每一步都通过了裁判，因为两边犯的是同一个错误。",
        f"目标没有错开一位，损失却没有低于可能的最小值 {least:.2f}：损失是 {cheat:.2f}，"
        f"错开时是 {honest:.2f}。",
    )


def _case(seed: int, targets: str) -> Case:
    return Case.model_validate(
        {
            "model": "gpt",
            "hidden": (16, 2),
            "length": 10,
            "p": 0,
            "l2": 0,
            "optimizer": "adam",
            "lr": 0.03,
            "steps": STEPS[targets],
            "batch": 16,
            "log_every": 5,
            "seed": seed,
        }
    )


def _order(side: Side, given: Mapping[str, np.ndarray]) -> float:
    """How far the last scores move if the first two characters change places."""
    swapped = {**given, "x": given["x"][[1, 0, *range(2, len(given["x"]))]]}
    made = [
        forward(at)["scores"]
        if side == "manual"
        else torch_forward({n: to_torch(a) for n, a in at.items()})["scores"].numpy()
        for at in (given, swapped)
    ]
    return float(np.abs(made[1][-1] - made[0][-1]).max())


def _entropy(symbols: np.ndarray) -> float:
    """-sum p log p of the frequencies p."""
    shares = np.array([*Counter(symbols.ravel().tolist()).values()]) / symbols.size
    return float(-(shares * np.log(shares)).sum())


def _least() -> float:
    """The log of the number of sums that can be drawn, over the mean length of a line: what each
    character tells anew, on average."""
    lengths = [len(f"{a}+{b}={a + b}\n") for a, b in product(range(LARGEST), repeat=2)]
    return float(np.log(len(lengths)) / np.mean(lengths))


def _written(trained: Trained, side: Side) -> str:
    begin = trained.data.x_dev[0]
    return written(partial(trained.output, side), begin, trained.data.alphabet, trained.case.seed)


def _losses(n: Numbers) -> Table:
    title = "A GPT on sums such as 17+25=42: the loss on dev"
    rows = tuple(
        (label, *(f"{n[f'{label}/{s}']:.4f}" for s in SIDES)) for label in (SHIFTED, ITSELF)
    )
    zh = {
        title: "GPT 学习 17+25=42 这样的算式：开发集上的损失",
        "targets": "目标",
        SHIFTED: "下一个字符",
        ITSELF: "字符本身",
    }
    return Table(title, ("targets", *SIDES), rows, zh)


def _texts(texts: Mapping[Side, str]) -> Table:
    title = "What each side writes after the first dev sequence"
    rows = tuple((side, repr(text)[1:-1]) for side, text in texts.items())
    zh = {title: "两边接着第一个开发序列写出的文本", "text": "文本"}
    return Table(title, ("side", "text"), rows, zh)


def _draw(trained: Trained) -> Figure:
    """Where each head looks, on both sides."""
    x = trained.data.x_dev[:1]
    net = trained.pair.manual.net
    assert isinstance(net, Attends), "a GPT does"
    inside = {
        "manual": manual.forward(net, trained.params, x, {}),
        "torch": trained.pair.torch.outputs(x),
    }
    weights: dict[Side, Tensors] = {
        side: {name: a[0] for name, a in net.attention_weights(inside[side]).items()}
        for side in SIDES
    }
    return attention_maps(decode(x[0], trained.data.alphabet), weights)


ZH = "Transformer：先是注意力，再是各位置各自的小网络，如此反复。"
LESSON = Lesson("transformer", (), __doc__, measure, conclude, ZH)
