"""What a lesson is: a measurement on both sides, and a conclusion computed from its numbers.

Measurement and conclusion are separate functions. `conclude` receives only the numbers, so no
sentence can claim what was not measured. If the numbers contradict a claim, the claim says so.

Tables and claims have their text in English and in Chinese, for the pages in both languages.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare import threads
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.trace import Tensors, Trace
from torch_parity.compare.judge.differences import compare
from torch_parity.compare.judge.judge import SIDES, judge_traces
from torch_parity.compare.show.progress import in_notebook
from torch_parity.lessons.experiment import Trained, telling

Numbers = Mapping[str, float]

# Words of many tables, in Chinese. Table.zh has the words of one table.
CHINESE = {
    "manual": "手写",
    "torch": "torch",
    "train": "训练集",
    "dev": "开发集",
    "side": "哪一边",
    "loss": "损失",
}


@dataclass(frozen=True)
class Table:
    """Rows of text, in reading order. zh has the Chinese for title, columns and words in cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    zh: Mapping[str, str] = field(default_factory=dict, repr=False)

    def chinese(self) -> "Table":
        """The table in Chinese: each text that zh or CHINESE has, whole or in parts."""
        words = CHINESE | dict(self.zh)
        rows = tuple(tuple(_translated(cell, words) for cell in row) for row in self.rows)
        columns = tuple(_translated(column, words) for column in self.columns)
        return Table(_translated(self.title, words), columns, rows)

    def markdown(self) -> str:
        """The title in bold, then a table of Markdown; a notebook shows a table so."""
        lines = (self.columns, ("---",) * len(self.columns), *self.rows)
        shown = ("| " + " | ".join(escaped(cell) for cell in line) + " |" for line in lines)
        return f"**{escaped(self.title)}**\n\n" + "\n".join(shown)

    _repr_markdown_ = markdown


@dataclass(frozen=True)
class Claim:
    """One sentence of the conclusion. holds: whether the numbers confirm what the notes say."""

    holds: bool
    text: str
    zh: str = ""

    def chinese(self) -> "Claim":
        """The claim in Chinese."""
        return Claim(self.holds, self.zh)

    def __str__(self) -> str:
        return f"{'✓' if self.holds else '✗'} {self.text}"


@dataclass(frozen=True)
class Measured:
    """The results of one run of a lesson: named numbers of both sides, tables and pictures.

    runs are its trainings, by the name of their TensorBoard folder.
    """

    numbers: dict[str, float]
    tables: tuple[Table, ...]
    figures: dict[str, Figure]
    runs: dict[str, Trained] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """text is the docstring of the lesson's file; its first line appears in the list of lessons.

    headings are the headings of the notes that it covers; a lesson may go beyond. measure takes
    the seed. zh is the first line of the text in Chinese.
    """

    name: str
    headings: tuple[str, ...]
    text: str
    measure: Callable[[int], Measured]
    conclude: Callable[[Numbers], tuple[Claim, ...]]
    zh: str = ""

    @property
    def line(self) -> str:
        """The idea in one line."""
        return self.text.splitlines()[0]

    def measured(self, seed: int = 0) -> Measured:
        """The results of one run, on one thread: the pools of NumPy and torch slow each other."""
        with threads.limited(1), in_notebook() as tell, telling(tell):
            return self.measure(seed)

    def conclusion(self, n: Numbers) -> tuple[Claim, ...]:
        """The lesson's own claims, and whether both sides agree."""
        return *self.conclude(n), agree(n)


def _translated(text: str, words: Mapping[str, str]) -> str:
    """The text in other words: the whole of it, or each part between commas, if words has it."""
    if text in words:
        return words[text]
    parts = text.split(", ")
    return "，".join(words.get(p, p) for p in parts) if words.keys() & set(parts) else text


def escaped(text: str) -> str:
    """Text with the characters of Markdown escaped."""
    for letter in "\\|*_`$<":
        text = text.replace(letter, f"&#{ord(letter)};")
    return text or "&nbsp;"


def claim(holds: bool, so: str, otherwise: str, so_zh: str = "", otherwise_zh: str = "") -> Claim:
    """The sentence that the numbers confirm, in English and Chinese."""
    return Claim(holds, so, so_zh) if holds else Claim(holds, otherwise, otherwise_zh)


def gap(a: np.ndarray, b: np.ndarray) -> float:
    """The greatest difference, relative to the largest entry."""
    return compare({"": a}, {"": b})[0].relative


def worst(n: Numbers, what: str) -> float:
    """The greater of both sides' numbers of that name."""
    return max(n[f"{what}/{side}"] for side in SIDES)


def compared(
    manual: Tensors, torch: Tensors, given: Tensors, nodes: Iterable[Node]
) -> dict[str, float]:
    """The judge's verdict on what both sides made of what was given, as numbers for `agree`.

    A tensor that is rounding alone (0 in theory) is judged, but it has no relative difference.
    """
    law = tuple(nodes)
    judgement = judge_traces(Trace(given, manual, law), Trace(given, torch, law))
    found = [d for d in judgement.differences if not d.name.startswith("given ")]
    wrong = {name for names in judgement.wrong.values() for name in names}
    nothing = {r.name for r in judgement.replays.get("manual", ()) if not r.power < 1}
    return {
        "tensors": len(found),
        "tensors/matching": sum(d.passed and d.name not in wrong for d in found),
        "tensors/difference": max(d.relative for d in found if d.name not in nothing),
    }


def judged(runs: Iterable[Trained]) -> dict[str, float]:
    """The judge's verdicts on trainings, as numbers for `agree`."""
    done = list(runs)
    widest = max((r.records[-1] for r in done), key=lambda record: record.drift)
    return {
        "trainings": len(done),
        "steps": sum(r.steps for r in done),
        "steps/passed": sum(r.passed for r in done),
        "drift": widest.drift,
        "envelope": widest.envelope,
    }


def agree(n: Numbers) -> Claim:
    """Whether both sides computed the same in everything that was compared or judged."""
    parts, parts_zh, holds = [], [], True
    if "tensors" in n:
        holds &= n["tensors/matching"] == n["tensors"] > 0
        matching, count = f"{n['tensors/matching']:.0f}", f"{n['tensors']:.0f}"
        greatest = f"{n['tensors/difference']:.1e}"
        parts.append(
            f"{matching} of {count} tensors match (greatest relative difference {greatest})"
        )
        parts_zh.append(f"{count} 个张量中 {matching} 个相符（最大相对差 {greatest}）")
    if "steps" in n:
        holds &= n["steps/passed"] == n["steps"] > 0
        passed, steps = f"{n['steps/passed']:.0f}", f"{n['steps']:.0f}"
        trainings, plural = f"{n['trainings']:.0f}", "s" * (n["trainings"] != 1)
        drift, envelope = f"{n['drift']:.1e}", f"{n['envelope']:.1e}"
        parts.append(
            f"from the same state, every tensor of {passed} of {steps} steps in {trainings} "
            f"training{plural} passed (each trained on its own, the sides end with parameters up "
            f"to {drift} apart; for comparison, a copy whose last bits are perturbed at every step "
            f"ends {envelope} apart)"
        )
        parts_zh.append(
            f"{trainings} 次训练共 {steps} 步，每一步都让两边从同一状态开始计算，其中 {passed} 步的"
            f"所有张量都通过了裁判（两边各自训练，参数最后最多相差 {drift}；作为对照，每一步都扰动"
            f"末位的副本最后相差 {envelope}）"
        )
    found, found_zh = "; ".join(parts), "；".join(parts_zh)
    return claim(
        holds and bool(parts),
        f"Manual and torch agree: {found}.",
        f"Manual and torch do NOT agree: {found or 'nothing was compared'}.",
        f"手写与 torch 一致：{found_zh}。",
        f"手写与 torch 不一致：{found_zh or '没有可以比较的内容'}。",
    )
