"""Plant known mistakes on both sides, and record whether the judge names them."""

from collections.abc import Iterable

from torch_parity.compare.causes.cause import Cause
from torch_parity.compare.commands.faults import demonstrate
from torch_parity.compare.judge.judge import SIDES
from torch_parity.lessons.lesson import Table


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
    zh = {
        "Planted mistakes": "植入的错误",
        "mistake": "错误",
        "first wrong tensor": "第一个出错的张量",
        "error of dW1": "dW1 的误差",
        "named": "裁判指出名字",
        "yes": "是",
        "NO": "否",
        "none": "无",
    }
    return numbers, Table("Planted mistakes", columns, tuple(rows), zh)
