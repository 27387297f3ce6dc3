"""The figures of the two surveys as tables in docs/judge.md, and as rows of the README.

python -m benchmarks.faults --out benchmarks/faults.json
python -m benchmarks.false_alarms --out benchmarks/false_alarms.json
python -m benchmarks.survey_page
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KINDS = {
    "single": "single mistakes",
    "pair": "pairs of mistakes",
    "unknown": "outside the catalogue",
}
JUDGES = ("ours", "numpy.allclose", "torch assert_close")
ALARMS, ENTRY = "false alarms", "one entry off by 1e-4"
CALLED = {"missed: entry of a gradient or weight off by 1e-4": f"{ENTRY}: missed"}
Kept = Mapping[str, Any]


def share(part: int, whole: int) -> str:
    """100% of all, and "0 of 12" of none: it may still be one in four."""
    if part == whole:
        return "100%"
    return f"{min(part / whole, 0.9999):.2%}" if part else f"0 of {whole:,}"


def of_pairs(kept: Kept) -> Iterator[str]:
    """A line for each false alarm and miss, in each precision."""
    yield (
        f"{kept['pairs']:,} right pairs, seeds {kept['seeds']}; {kept['versions']}. Ours neither "
        f"passed nor failed {kept['right pairs that ours does not judge']} of them: `UNJUDGED`."
    )
    yield ""
    yield "| | ours | `numpy.allclose` | `assert_close` |"
    yield "| --- | --- | --- | --- |"
    for row in kept["rows"]:
        if not row["row"].startswith(" "):  # those without the pairs that a judge called wrong
            name = CALLED.get(row["row"], row["row"].removeprefix("missed: "))
            name = name if row["row"] in (ALARMS, *CALLED) else f"{name}: missed"
            cells = " | ".join(share(*row[judge]) for judge in JUDGES)
            yield f"| {name}, {row['dtype']} | {cells} |"


def of_mistakes(kept: Kept) -> Iterator[str]:
    """A line for each kind of planting."""
    yield (
        f"{kept['configurations']} networks, seeds from {kept['seed']:,}; {kept['causes']} causes "
        "in the catalogue."
    )
    yield ""
    yield (
        "| | detected | first operation right | named right | of these, among equivalent ones | "
        "wrong name |"
    )
    yield "| --- | --- | --- | --- | --- | --- |"
    for kind, words in KINDS.items():
        c = counts(kept, kind)
        n, alone, among = c["planted"], c["unique and right"], c["ambiguous, right among"]
        named = share(alone + among, n) + (" (as unknown)" if kind == "unknown" else "")
        cells = (
            share(c["detected"], n),
            share(c["first operation right"], n),
            named,
            share(among, n),
            f"{c['wrong name']}",
        )
        yield f"| {n:,} {words} | {' | '.join(cells)} |"


def counts(kept: Kept, kind: str) -> dict[str, int]:
    """Of mistakes on either side."""
    of = [row for name, row in kept["rows"].items() if name.startswith(f"{kind}, ")]
    return {key: int(sum(row[key] for row in of)) for key in of[0]}


def rows(alarms: Kept, faults: Kept) -> Iterator[str]:
    """Those of the README."""
    for said, of in (
        (f"false alarms on {alarms['pairs']:,} right pairs", ALARMS),
        (f"{ENTRY}, missed", next(iter(CALLED))),
    ):
        found = [row for row in alarms["rows"] if row["row"] == of]
        precisions = ", ".join(row["dtype"] for row in found)
        cells = (", ".join(share(*row[judge]) for row in found) for judge in JUDGES)
        yield f"| {said}: {precisions} | {' | '.join(cells)} |"
    c = counts(faults, "single")
    named = share(c["unique and right"] + c["ambiguous, right among"], c["planted"])
    yield (
        f"| {c['planted']:,} planted mistakes: first operation right, named right | "
        f"{share(c['first operation right'], c['planted'])}, {named} | none | none |"
    )


def write(path: Path, begin: str, end: str, text: str) -> None:
    """Put the text into the page, between these two."""
    before, _, rest = path.read_text("utf-8").partition(begin)
    _, also, after = rest.partition(end)
    assert also, f"{path.name} has no {begin!r} with {end!r} after it"
    path.write_text(before + begin + text + end + after, "utf-8")


def main() -> None:
    alarms, faults = (
        json.loads((ROOT / "benchmarks" / f"{name}.json").read_text("utf-8"))
        for name in ("false_alarms", "faults")
    )
    for name, lines in (("pairs", of_pairs(alarms)), ("faults", of_mistakes(faults))):
        text = "\n".join(["", *lines, "", ""])
        write(ROOT / "docs" / "judge.md", f"<!-- written: {name} -->\n", "<!-- written -->", text)
    head = "| --- | --- | --- | --- |\n"
    write(ROOT / "README.md", head, "\n\n<!-- four judges -->", "\n".join(rows(alarms, faults)))


if __name__ == "__main__":
    main()
