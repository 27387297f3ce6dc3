"""Plant known mistakes on both sides, and record whether the judge names them."""

from collections.abc import Callable, Iterable

import numpy as np

from torch_parity.compare.causes.cause import Cause
from torch_parity.compare.commands.faults import demonstrate, judge_planted
from torch_parity.compare.judge.judge import SIDES, Judgement, Side
from torch_parity.compare.sources.recorded import Both
from torch_parity.lessons.lesson import Claim, Numbers, Table, claim

ZH = {
    "Planted mistakes": "植入的错误",
    "mistake": "错误",
    "first wrong tensor": "第一个出错的张量",
    "error of dW1": "dW1 的误差",
    "named": "裁判指出名字",
    "yes": "是",
    "NO": "否",
    "none": "无",
}


def plant_each(causes: Iterable[Cause]) -> tuple[dict[str, float], Table]:
    """Numbers NAME/named/SIDE (1 or 0) and NAME/dW1/SIDE (how far dW1 is off), and their table."""
    numbers: dict[str, float] = {}
    rows = []
    for cause in causes:
        for side in SIDES:
            found = demonstrate(cause, side).judgement
            named = found.diagnoses[side].names == (frozenset({cause.name}),)
            off = next(d.relative for d in found.differences if d.name == "dW1")
            numbers |= {f"{cause.name}/named/{side}": float(named), f"{cause.name}/dW1/{side}": off}
        first = found.root.found.name if found.root else "none"
        gaps = (f"{numbers[f'{cause.name}/dW1/{s}']:.0%}" for s in SIDES)
        alone = all(numbers[f"{cause.name}/named/{s}"] for s in SIDES)
        rows.append((cause.sentence, first, *gaps, "yes" if alone else "NO"))
    columns = ("mistake", "first wrong tensor", "error of dW1, manual", "torch", "named")
    return numbers, Table("Planted mistakes", columns, tuple(rows), ZH)


def plant_in(step: Both, causes: Iterable[Cause]) -> tuple[dict[str, float], Table]:
    """Plant each mistake in this step -> numbers NAME/named/SIDE (1 or 0), and their table."""
    return _planted(causes, lambda cause, side: _judge_first(step, cause, side))


def plant_alone(causes: Iterable[Cause]) -> tuple[dict[str, float], Table]:
    """As plant_in, each in the first small case in which it shows."""
    return _planted(causes, lambda cause, side: demonstrate(cause, side).judgement)


def _planted(
    causes: Iterable[Cause], judged: Callable[[Cause, Side], Judgement]
) -> tuple[dict[str, float], Table]:
    numbers: dict[str, float] = {}
    rows = []
    for cause in causes:
        for side in SIDES:
            found = judged(cause, side)
            only = found.diagnoses[side].names == (frozenset({cause.name}),)
            numbers[f"{cause.name}/named/{side}"] = float(only)
        first = found.root.found.name if found.root else "none"
        alone = all(numbers[f"{cause.name}/named/{s}"] for s in SIDES)
        rows.append((cause.sentence, first, "yes" if alone else "NO"))
    return numbers, Table(
        "Planted mistakes", ("mistake", "first wrong tensor", "named"), (*rows,), ZH
    )


def _judge_first(step: Both, cause: Cause, side: Side) -> Judgement:
    for way in range(len(cause.ways)):
        batch = int(np.asarray(next(iter(step.start.values()))).shape[0])
        if judgement := judge_planted(cause, side, step, batch, 0, way, None):
            return judgement
    raise AssertionError(f"{cause.name} does not show in this step")


def all_named(n: Numbers, causes: Iterable[Cause]) -> Claim:
    """Whether the judge named each planted mistake, alone, on both sides."""
    names = [cause.name for cause in causes]
    named = sum(n[f"{name}/named/{s}"] for name in names for s in SIDES)
    planted = len(names) * len(SIDES)
    return claim(
        named == planted,
        f"The judge named each of the {len(names)} planted mistakes on each side, and no other "
        "mistake with it.",
        f"The judge did NOT name all planted mistakes without another one: only {named:.0f} of "
        f"{planted}.",
        f"植入的 {len(names)} 个错误，无论在哪一边，裁判都指出了名字，而且没有误指别的错误。",
        f"植入的 {planted} 个错误，裁判只准确指出了 {named:.0f} 个。",
    )
