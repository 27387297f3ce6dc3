"""Mistakes in the wiring of a transformer's block: what is put where, not how it is computed.

They are not among the known mistakes of one operation, so the judge can only name the tensor.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

from torch_parity.compare.causes.cause import Cause, Change, Effect, Where, read_also
from torch_parity.compare.commands.faults import judge_planted
from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.sources.recorded import Both
from torch_parity.lessons.lesson import Claim, Numbers, Table, claim


def _wired(sentence: str, **formulas: Callable[..., Any]) -> Cause:
    """A mistake in what is put where: other formulas for these tensors. Not in the catalogue."""
    effects = tuple(Effect(_makes(name), _by(formula)) for name, formula in formulas.items())
    return Cause("", sentence, "", "", (effects,))


def _makes(name: str) -> Where:
    return lambda node, e: node.outputs == (name,)


def _by(formula: Callable[..., Any]) -> Change:
    """It is given the norm's weight and bias as well."""
    return lambda node, e: [read_also(node, formula, "weight0", "bias0")]


# Each with the tensor in which it shows first.
WIRED = {
    "h0": _wired("positions forgotten", h0=lambda f, token, *rest: token * 1),
    "n0": _wired(
        "norm after the sum",
        n0=lambda f, h, *rest, **options: h * 1,
        h1=lambda f, h, found, *affine: f["layer_norm"](h + found, *affine, eps=1e-5),
    ),
    "h1": _wired("shortcut forgotten", h1=lambda f, h, found, *rest: found * 1),
}


def plant_wired(step: Both, seed: int) -> tuple[dict[str, float], Table]:
    """Numbers wired/TENSOR/SIDE: 1 if the judge names this tensor first, and no mistake."""
    numbers, rows = {}, []
    for first, cause in WIRED.items():
        for side in SIDES:
            judgement = judge_planted(cause, side, step, 1, seed, 0, None)
            found = judgement.root.found.name if judgement and judgement.root else "none"
            named = judgement is not None and any(judgement.diagnoses[side].names)
            numbers[f"wired/{first}/{side}"] = float(found == first and not named)
        rows.append((cause.sentence, found, "yes" if named else "no"))
    title = "Mistakes of wiring"
    zh = {
        title: "连接错误",
        "mistake": "错误",
        "first wrong tensor": "第一个出错的张量",
        "named": "裁判指出名字",
        "yes": "是",
        "no": "否",
        "positions forgotten": "忘了位置",
        "norm after the sum": "归一化放在求和之后",
        "shortcut forgotten": "忘了捷径",
    }
    return numbers, Table(title, ("mistake", "first wrong tensor", "named"), (*rows,), zh)


def all_found(n: Numbers) -> Claim:
    """Whether the judge found where each of them is, without a guess at its name."""
    right = sum(n[f"wired/{first}/{s}"] for first, s in product(WIRED, SIDES))
    planted = len(WIRED) * len(SIDES)
    return claim(
        right == planted,
        f"For the {len(WIRED)} mistakes of wiring the judge names the first wrong tensor on each "
        "side. It gives them no name, because none of its known mistakes explains them.",
        f"The judge found the first wrong tensor of only {right:.0f} of {planted} mistakes of "
        "wiring, or gave them a WRONG name.",
        f"{len(WIRED)} 个连接错误，无论在哪一边，裁判都指出了第一个出错的张量。它没有给出"
        "错误的名字，因为已知的错误都解释不了它们。",
        f"{planted} 个连接错误，裁判只找对了 {right:.0f} 个的第一个出错的张量，或者给错了名字。",
    )
