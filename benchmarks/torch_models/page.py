"""The figures as tables in docs/modules.md, and in short on the first page.

`python -m benchmarks.torch_models.page` writes what the scripts beside it have kept.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.torch_models.detection import SIZES
from benchmarks.torch_models.referees import JUDGES
from benchmarks.torch_models.results import kept

ROOT = Path(__file__).parents[2]
PRECISIONS = ("float32", "float64", "bfloat16", "float16")
WANTED = {"float32": 100_000, "float64": 20_000, "bfloat16": 20_000, "float16": 20_000}
CALLED = {"ours": "ours", "torch's same": "torch's `same`"} | {
    name: f"`{name}`" for name in ("numpy.allclose", "assert_close")
}


@dataclass(frozen=True)
class Row:
    """A target beside what was measured; why is told if it is missed."""

    what: str
    target: str
    measured: str
    met: bool
    why: str = ""

    @property
    def line(self) -> str:
        mark = "" if self.met else f" **missed**: {self.why}" if self.why else " **missed**"
        return f"| {self.what} | {self.target} | {self.measured}{mark} |"


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%} ({part:,} of {whole:,})"


def of_mistakes(found: Mapping[str, Any]) -> Iterator[Row]:
    n, known = found["planted"], found["in the catalogue"]
    what = f"{found['kinds']} kinds of mistakes in {found['architectures']} architectures"
    yield Row(f"{what}: seen", "100%", share(found["seen"], n), found["seen"] == n)
    placed = found["placed"]
    yield Row("placed at the right module and phase", "95%", share(placed, n), placed >= 0.95 * n)
    named = found["named"]
    yield Row("named, of those in the catalogue", "90%", share(named, known), named >= 0.9 * known)
    wrong = found["misnamed"]
    yield Row("called by a wrong name", "0", f"{wrong}", wrong == 0)


def of_right_models(found: Mapping[str, Any]) -> Iterator[Row]:
    sections = {p: s for p in PRECISIONS if (s := found.get(f"right models, {p}"))}
    for precision, s in sections.items():
        alarms, outputs = len(s["alarms"]), s["outputs"]
        vague = sum(s["unbounded"].values())
        told = f"{alarms} of {outputs:,}; {vague} had no bound"
        enough = alarms == 0 and outputs >= WANTED[precision]
        yield Row(f"false alarms, outputs of right {precision} models", "0", told, enough)
    uses = [s["greatest use"] for s in sections.values()]
    yield Row(
        f"greatest share of its bound that one used: {', '.join(sections)}",
        "0.75",
        ", ".join(f"{use:.2f}" for use in uses),
        max(uses) <= 0.75,
    )
    for precision, s in sections.items():
        n, left = s["distinct calls"], s["not judged"]
        told = share(n - len(left), n)
        if left:
            names = sorted({call.split(".")[1] for _, call in left})
            told += f"; not always: {', '.join(f'`{name}`' for name in names)}"
        what = f"distinct calls judged, {s['architectures']} architectures, {precision}"
        yield Row(what, "97%", told, n - len(left) >= 0.97 * n)


def of_one_entry(found: Mapping[str, Any]) -> Iterator[Row]:
    for size in SIZES:
        s = found["sizes"][size]
        exact, n = s["exactly that call"], s["planted"]
        told = share(exact, n)
        others = s["other calls flagged"]
        if others:
            told += f"; in {others} another call as well, which reads it"
        counted = size == SIZES[0]
        what = f"one entry changed by 1e-4 {size}, float32: exactly that call is wrong"
        yield Row(what, "98%" if counted else "", told, not counted or exact >= 0.98 * n)


def of_functions(found: Mapping[str, Any]) -> Iterator[Row]:
    alarms, right = found["alarms"], found["right"]
    yield Row("custom Functions: false alarms", "0", f"{alarms} of {right:,}", alarms == 0)
    misses, wrong = found["misses"], found["wrong"]
    yield Row("custom Functions: wrong backwards missed", "0", f"{misses} of {wrong:,}", not misses)


def of_pairs(found: Mapping[str, Any]) -> Iterator[Row]:
    for precision in ("float32", "float64"):
        row = found["rows"][f"false alarms, {precision}"]
        alarms, n = row["ours"]
        told = f"{alarms} of {n}" + (f"; {u} unjudged" if (u := row["unjudged by ours"]) else "")
        what = f"false alarms, right pairs of two implementations, {precision}"
        why = "fewer than 200 pairs were judged in the time there was" if not alarms else ""
        yield Row(what, "0 of 200", told, alarms == 0 and n >= 200, why)


def of_costs(found: Mapping[str, Any]) -> Iterator[Row]:
    models = {name: m for name, m in found["models"].items() if m["seconds"] >= 0.1}
    for part, most in (("capture", 6), ("replay", 60)):
        times = [m[part] for m in models.values()]
        what = f"{part}, in steps of 0.1 s or more: {', '.join(models)}"
        measured = ", ".join(f"{t:.1f}" for t in times)
        over = ", ".join(name for name, m in models.items() if m[part] > most)
        yield Row(what, f"{most}", measured, max(times) <= most, f"{over}")


SECTIONS = {
    "mistakes": of_mistakes,
    "one entry": of_one_entry,
    "custom Functions": of_functions,
    "referees": of_pairs,
    "costs": of_costs,
}


def targets(found: Mapping[str, Any]) -> list[str]:
    """A Markdown table of all targets."""
    rows = [*of_right_models(found)]
    for section, of in SECTIONS.items():
        if section in found:
            rows += of(found[section])
    return ["| | target | measured |", "| --- | --- | --- |", *(row.line for row in rows)]


def judges(found: Mapping[str, Any]) -> list[str]:
    """A Markdown table of the four judges."""
    lines = [f"| | {' | '.join(CALLED[j] for j in JUDGES)} |", "| --- " * (len(JUDGES) + 1) + "|"]
    for name, row in found["rows"].items():
        cells = [f"{row[j][0]} of {row[j][1]}" for j in JUDGES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def in_short(found: Mapping[str, Any]) -> list[str]:
    """The same as a sentence of the first page."""
    rows = found["rows"].items()
    parts = []
    for judge in JUDGES:
        alarms, misses = (
            [row[judge] for name, row in rows if name.startswith(kind)]
            for kind in ("false", "misses")
        )
        rates = (sum(n for n, _ in x) / sum(of for _, of in x) for x in (alarms, misses))
        parts.append(f"{CALLED[judge]} {' and '.join(f'{r:.0%}' for r in rates)}")
    right, wrong = (
        sum(row["ours"][1] for name, row in rows if name.startswith(kind))
        for kind in ("false", "misses")
    )
    pairs = "[pairs of torch models](docs/modules.md#measured)"
    text = (
        f"False alarms and misses on {right} right and {wrong} wrong {pairs}: {', '.join(parts)}."
    )
    return wrapped(text)


def wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > 100:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def put(path: Path, mark: str, lines: list[str]) -> None:
    """Write them between <!-- mark --> and <!-- --> (in docs/ <!-- written: NAME --> and
    <!-- written -->, which the book knows)."""
    place = re.compile(rf"(?<=<!-- {re.escape(mark)} -->\n).*?(?=<!-- (?:written )?-->\n)", re.S)
    text = path.read_text("utf-8")
    if not place.search(text):
        raise ValueError(f"{path.name} has no <!-- {mark} -->")
    path.write_text(place.sub(lambda _: "\n".join([*lines, ""]), text, count=1), "utf-8")


def main() -> None:
    """Write what was kept."""
    found = kept()
    page, readme = ROOT / "docs" / "modules.md", ROOT / "README.md"
    put(page, "written: torch models", ["", *targets(found)])
    if "referees" in found:
        put(page, "written: four judges", ["", *judges(found["referees"])])
        put(readme, "four judges", in_short(found["referees"]))


if __name__ == "__main__":
    main()
