"""How often does the judge name a planted mistake? python -m benchmarks.faults --help

Known mistakes are planted on either side of random pairs, alone and in pairs, and so are mistakes
that the catalogue does not have. benchmarks.survey_page writes the figures into the docs. Each
configuration depends only on its seed; seeds under 4,000,000 were used while the judge was built.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.drawn import case_and_data, steps
from torch_parity.compare.causes import ALONE, CATALOGUE, clipping, distributed
from torch_parity.compare.causes.cause import Cause
from torch_parity.compare.causes.explanation import Diagnosis
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.flow.nodes import Node, is_private
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.sources.recorded import Recorded

Tensors = dict[str, np.ndarray]

SINGLES, PAIRS, UNKNOWN = 24, 12, 4  # planted in each configuration, where they apply


@dataclass(frozen=True)
class Outcome:
    """One planted step. kind is single, pair or unknown; verdict that of the diagnosis."""

    kind: str
    names: tuple[str, ...]
    side: Side
    seed: int
    detected: bool
    first_right: bool
    verdict: str
    named: bool
    said: str


def survey(seed: int) -> tuple[list[Outcome], Counter[str]]:
    """One configuration: some known mistakes on the two sides in turn, some pairs, some unknown."""
    torch.set_num_threads(1)
    torch.manual_seed(seed % 2**31)
    rng = np.random.default_rng([seed, 9])
    dtype = "float32" if seed % 3 == 0 else "float64"
    case, data = case_and_data(
        seed, dtype=dtype, depth=5, width=32, batch=48, bias=seed % 5 != 0, more=True
    )
    outcomes, skipped = [], Counter[str]()
    try:
        with np.errstate(all="ignore"):
            recorded = steps(case, data)[-1]
    except ArithmeticError:
        return [], Counter({"diverges before a mistake is planted": 1})
    with np.errstate(all="ignore"):
        for kind, changed, names, side, apart in _planted(recorded, rng):
            found = _judge(kind, changed, names, side, apart, seed, recorded)
            if isinstance(found, str):
                skipped[found] += 1
            else:
                outcomes.append(found)
    return outcomes, skipped


Flow = tuple[Node, ...]
Planted = tuple[str, Flow | None, tuple[str, ...], Side, tuple[Flow, ...]]


def _planted(r: Recorded, rng: np.random.Generator) -> Iterator[Planted]:
    # one process here, and a model without norms and images
    elsewhere = {c.name for c in (*distributed.CAUSES, *ALONE)}
    elsewhere -= {c.name for c in clipping.CAUSES}
    causes = [c for c in CATALOGUE.values() if c.name not in elsewhere]
    for i, cause in enumerate(causes[i] for i in rng.choice(len(causes), SINGLES, replace=False)):
        side = SIDES[(i + int(rng.integers(2))) % 2]
        changed = _plant(cause, r, r.nodes, side, rng)
        yield "single", changed, (cause.name,), side, (changed,) if changed else ()
    for _ in range(PAIRS):
        a, b = (causes[i] for i in rng.choice(len(causes), 2, replace=False))
        side = SIDES[rng.integers(2)]
        apart = [_plant(cause, r, r.nodes, side, rng) for cause in (a, b)]
        both = _disjoint(r.nodes, *apart)
        yield "pair", both, (a.name, b.name), side, tuple(x for x in apart if x is not None)
    for _ in range(UNKNOWN):
        side = SIDES[rng.integers(2)]
        yield "unknown", _unknown(r.nodes, rng), (), side, ()


def _plant(
    cause: Cause, r: Recorded, nodes: tuple[Node, ...], side: Side, rng: np.random.Generator
) -> tuple[Node, ...] | None:
    """In every layer, or in one of them."""
    way = int(rng.integers(len(cause.ways)))
    depth = max(node.layer for node in nodes)
    layers = None if rng.random() < 0.5 else {int(rng.integers(1, depth + 1))}
    return plant(cause, nodes, r.known_to(side, _batch(r)), r.trace(side), rng, way, layers)


def _disjoint(
    nodes: tuple[Node, ...], a: tuple[Node, ...] | None, b: tuple[Node, ...] | None
) -> tuple[Node, ...] | None:
    """Both mistakes in one step; two in one and the same operation are one new mistake."""
    if a is None or b is None:
        return None
    both = [x if x is not node else y for node, x, y in zip(nodes, a, b, strict=True)]
    clash = any(x is not n and y is not n for n, x, y in zip(nodes, a, b, strict=True))
    return None if clash else tuple(both)


def _unknown(nodes: tuple[Node, ...], rng: np.random.Generator) -> tuple[Node, ...]:
    """An operation with an error that no entry of the catalogue describes."""
    i = int(rng.integers(1, len(nodes)))
    node = nodes[i]
    if node.operation == "count":
        return _unknown(nodes, rng)
    bend = float(rng.uniform(0.02, 0.2))

    def bent(f: Any, *inputs: Any, **options: Any) -> Any:
        result = f[node.operation](*inputs, **options)
        many = result if isinstance(result, tuple) else (result,)
        return (*many[:-1], many[-1] * (1 + bend * many[-1]) + bend * many[-1] ** 3)

    return (*nodes[:i], replace(node, formula=bent), *nodes[i + 1 :])


def _judge(
    kind: str,
    changed: tuple[Node, ...] | None,
    names: tuple[str, ...],
    side: Side,
    apart: tuple[Flow, ...],
    seed: int,
    r: Recorded,
) -> Outcome | str:
    if changed is None:
        return "does not apply"
    known = r.known_to(side, _batch(r))
    try:
        faulty, right = execute(changed, known, side), execute(r.nodes, known, side)
        each = [(alone, execute(alone, known, side)) for alone in apart]
    except (ValueError, RuntimeError):
        return "does not run"
    if not all(np.isfinite(a).all() for a in faulty.values()):
        return "diverges"
    moved = _changes(changed, r, faulty, right)
    at = [_changes(alone, r, made, right) for alone, made in each]
    if not moved or not all(at):
        return "changes nothing beyond rounding"
    if len(each) > 1 and not all(_changes(changed, r, faulty, made) for _, made in each):
        return "one of two hides the other"
    made_alone = (made for _, made in each)
    if any(map(_any_number_explains, names, at, made_alone, [right] * len(each))):
        return "changes one number alone, by another number"
    j = r.judge_instead(side, faulty, _batch(r))
    diagnosis = j.diagnoses.get(side)
    order = [name for n in r.nodes for name in n.outputs]
    first = min(moved, key=order.index)
    own = _recorded(changed, r)
    return Outcome(
        kind,
        names,
        side,
        seed,
        detected=not j.passed,
        first_right=j.root is not None
        and j.root.side == side
        and j.root.found.name in own
        and order.index(j.root.found.name) <= order.index(first),  # the judge may see more
        verdict=diagnosis.verdict if diagnosis else "none",
        named=_named(diagnosis, names),
        said=_said(diagnosis),
    )


def _batch(r: Recorded) -> int:
    """The full batch size; the recorded batch is the shorter last one."""
    return sum(len(a) for name, a in r.start.items() if name == "y" or name.startswith("y_m")) + 5


def _changes(changed: tuple[Node, ...], r: Recorded, faulty: Tensors, right: Tensors) -> list[str]:
    """The outputs of the changed operations that differ by more than rounding."""
    return [name for name in _recorded(changed, r) if _moved(faulty[name], right[name])]


def _recorded(changed: Flow, r: Recorded) -> list[str]:
    """What the changed operations make, or, of what is not recorded, what is made of it."""
    own = {name for n, o in zip(changed, r.nodes, strict=True) if n is not o for name in n.outputs}
    private = {name for name in own if is_private(name)}
    names = [n.outputs for n in changed if not private.isdisjoint(n.inputs)] + [tuple(own)]
    return [name for of in names for name in of if not is_private(name)]


def _any_number_explains(name: str, at: list[str], faulty: Tensors, right: Tensors) -> bool:
    """Whether a mistake with a number in it changes one number alone, in one entry or wherever it
    stands: nothing can name that."""
    if not CATALOGUE[name].tuned or any(right[n].shape != faulty[n].shape for n in at):
        return False
    pairs = {p for n in at for p in zip(right[n].flat, faulty[n].flat, strict=True) if p[0] != p[1]}
    return len(pairs) == 1


def _said(d: Diagnosis | None) -> str:
    if d is None:
        return "nothing"
    names = " or ".join("+".join(sorted(names)) for names in d.names)
    return f"{names} (unexplained: {', '.join(d.unexplained[:4])})" if d.unexplained else names


def _moved(a: np.ndarray, b: np.ndarray) -> bool:
    """Changed by more than rounding: its type, or some thousand ulps of the largest entry."""
    if a.dtype.kind != "f":
        return not np.array_equal(a, b)
    size = np.abs(b).max() + np.abs(a).max()
    return (a.dtype, a.shape) != (b.dtype, b.shape) or bool(
        np.abs(a - b).max() > 2000 * np.finfo(b.dtype).eps * size
    )


def _named(d: Diagnosis | None, names: tuple[str, ...]) -> bool:
    """Right: unknown for an unknown mistake; else the names, alone or among those equivalent."""
    if d is None:
        return False
    if not names:
        return d.verdict == "unknown"
    return d.verdict in ("unique", "ambiguous") and frozenset(names) in d.names


def summarise(outcomes: list[Outcome]) -> dict[str, dict[str, float]]:
    """Counts per kind and side."""
    table: dict[str, dict[str, float]] = {}
    for kind in ("single", "pair", "unknown"):
        for side in SIDES:
            rows = [o for o in outcomes if o.kind == kind and o.side == side]
            table[f"{kind}, {side}"] = {
                "planted": len(rows),
                "detected": sum(o.detected for o in rows),
                "first operation right": sum(o.first_right for o in rows),
                "unique and right": sum(o.named and o.verdict != "ambiguous" for o in rows),
                "ambiguous, right among": sum(o.named and o.verdict == "ambiguous" for o in rows),
                "wrong name": sum(
                    o.detected and not o.named and o.verdict != "unknown" for o in rows
                ),
            }
    return table


def both_sides(rows: dict[str, dict[str, float]]) -> Iterator[str]:
    """A line per kind: how many were named rightly, alone or among those equivalent."""
    for kind in ("single", "pair", "unknown"):
        of = [row for name, row in rows.items() if name.startswith(kind)]
        planted, alone, among = (
            sum(row[key] for row in of)
            for key in ("planted", "unique and right", "ambiguous, right among")
        )
        total = max(planted, 1)
        yield (
            f"{kind}, both sides: {planted:,.0f} planted, {(alone + among) / total:.1%} named "
            f"right, {among / total:.1%} among equivalent ones"
        )


@click.command()
@click.option("--configurations", default=1000, show_default=True)
@click.option("--seed", default=4_000_000, show_default=True, help="Of the first configuration.")
@click.option("--jobs", default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="JSON of the counts.")
def main(configurations: int, seed: int, jobs: int, out: Path | None) -> None:
    """Plant every known mistake, pairs of them and unknown ones; print how they were named."""
    seeds = range(seed, seed + configurations)
    results = Parallel(n_jobs=jobs, return_as="generator")(delayed(survey)(s) for s in seeds)
    outcomes: list[Outcome] = []
    skipped = Counter[str]()
    for found, passed_over in track(results, total=configurations, console=Console(stderr=True)):
        outcomes += found
        skipped += passed_over
    console = Console(width=140)
    table = Table("planted", *next(iter(summarise(outcomes).values())))
    for name, row in summarise(outcomes).items():
        total = max(row["planted"], 1)
        cells = (f"{n:.0f} ({n / total:.2%})" for key, n in row.items() if key != "planted")
        table.add_row(name, f"{row['planted']:.0f}", *cells)
    console.print(table)
    for line in both_sides(summarise(outcomes)):
        console.print(line, highlight=False)
    console.print(
        f"{configurations} configurations, seeds from {seed}; not planted: {dict(skipped)}; "
        f"{len(CATALOGUE)} causes, {len(OPERATIONS)} operations; torch {torch.__version__}"
    )
    for o in [o for o in outcomes if not (o.detected and o.first_right and o.named)][:12]:
        console.print(f"  missed: {o}", highlight=False)
    worst = Counter(o.names for o in outcomes if o.kind == "single" and not o.named)
    console.print(f"least often named: {worst.most_common(8)}", highlight=False)
    if out:
        kept = {"configurations": configurations, "seed": seed, "causes": len(CATALOGUE)}
        kept |= {"rows": summarise(outcomes), "skipped": skipped}
        out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
