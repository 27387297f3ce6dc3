"""False alarms and misses of three judges on the same random pairs.

Ours replays every recorded operation of both sides; numpy.allclose and torch.testing.assert_close,
at their defaults, compare the two sides tensor by tensor. A failure on a
correct pair is a false alarm; a PASS where a fault is planted on the manual side is a miss. Every
pair depends only on its seed: examine(seed) repeats it.
"""

import json
import multiprocessing
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from tests.drawn import case_and_data, steps
from torch_parity import manual
from torch_parity.compare.bounds.precision import all_widened, widened
from torch_parity.compare.case import Case
from torch_parity.compare.choices import OF_NUMBERS
from torch_parity.compare.data import Data
from torch_parity.compare.judge.replay import recorded_inputs, replay, replay_stretch
from torch_parity.compare.judge.replayed import Replayed
from torch_parity.compare.sources.recorded import Recorded
from torch_parity.manual.models.step import Tensors

DTYPES = ("float32", "float64")
HALVES = ("bfloat16", "float16")
# of what torch has for a case, this is nothing to compute with in halves (see compare/case.py)
NOT_IN = {
    "float16": {"rmsprop", "adam", "adamw", "binary_cross_entropy", "multi_margin_loss"},
    "bfloat16": {"multi_margin_loss"},
}
JUDGES = ("ours", "numpy.allclose", "torch assert_close")
FAULTS = (
    "entry of a gradient or weight off by 1e-4",
    "lambda off by 1%",
    "dropout scale off by 0.1%",
    "one bias missing",
    "db averaged over m-1",
)
ENTRY, LAMBDA, DROPOUT, BIAS, AVERAGE = FAULTS


@dataclass(frozen=True)
class Planted:
    """One fault and the judges that saw it; harmless if no tensor changed."""

    where: str
    harmless: bool
    seen: dict[str, bool]
    closest: str = ""


@dataclass(frozen=True)
class Examined:
    """One pair: the judges with a false alarm, what ours does not judge (it neither passes nor
    fails), and the result for each planted fault."""

    seed: int
    dtype: str
    redrawn: int
    case: str
    alarms: dict[str, list[str]]
    unjudged: list[str]
    greatest_use: float
    planted: dict[str, Planted]


@dataclass(frozen=True)
class Range:
    """The range of the draws: the precisions, in turn, the greatest width, batch and number of
    classes, and whether there is more than the losses and optimizers of the course."""

    dtypes: tuple[str, ...] = DTYPES
    largest: int = 1024
    more: bool = True


def draw(seed: int, attempt: int, of: Range = Range()) -> tuple[Case, Data]:
    """A case and data from the whole range that the judge supports; even seeds are float32."""
    rng = np.random.default_rng([seed, attempt])
    l1, l2 = rng.integers(2, size=2) * 10 ** rng.uniform(-3, 1, size=2)
    dtype = of.dtypes[seed % len(of.dtypes)]
    case, _ = case_and_data(
        int(rng.integers(2**62)),
        without=NOT_IN.get(dtype, set()),
        hidden=tuple(_log_uniform(rng, 1, of.largest) for _ in range(rng.integers(0, 8))),
        p=float(rng.choice([0.0, rng.uniform(0, 0.9)])),
        l1=float(l1),
        l2=float(l2),
        lr=float(10 ** rng.uniform(-4, -1)),
        bias=seed % 5 != 0,
        bias_scale=float(10 ** rng.uniform(-2, 0)),
        dtype=dtype,
        more=of.more,
    )
    m, n_in = _log_uniform(rng, 1, min(512, of.largest)), _log_uniform(rng, 1, of.largest)
    x = (rng.normal(size=(m, n_in)) * 10 ** rng.uniform(-3, 3)).astype(case.dtype)
    # a column of softmax on its own is the constant 1
    classes = _log_uniform(rng, 3 if case.output == "softmax" else 2, of.largest)
    labels: np.ndarray = rng.integers(0, classes, m)
    if case.loss in OF_NUMBERS and case.output != "softmax" and rng.integers(2):
        classes, labels = 0, rng.normal(size=m)
    return case, Data("drawn", x, labels, x, labels, classes)


def _log_uniform(rng: np.random.Generator, low: int, high: int) -> int:
    return int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))


def record(seed: int, of: Range = Range()) -> tuple[Case, Recorded, int]:
    """The second step of the first draw that stays finite, and the number of discarded draws."""
    for attempt in count():
        case, data = draw(seed, attempt, of)
        torch.manual_seed(case.seed)
        try:
            last = steps(case, data, 2)[-1]
        except ArithmeticError:
            continue
        if all(np.isfinite(a).all() for a in last.manual.values()):
            break
    return case, last, attempt


@np.errstate(all="ignore")
def examine(seed: int, faults: bool = True, of: Range = Range()) -> Examined:
    """Draw one pair; judge it as it is, then with each fault that it can have."""
    with torch.random.fork_rng(devices=[]):
        case, r, redrawn = record(seed, of)
    starts = {"manual": all_widened(r.start), "torch": r.start}
    replays = {side: replay(r.nodes, start, getattr(r, side)) for side, start in starts.items()}
    wrong = {side: [f for f in found if not f.right] for side, found in replays.items()}
    apart = {"alarm": list[str](), "unjudged": list[str]()}
    for side, found in wrong.items():
        for f in found:
            apart["unjudged" if f.outcome == "not judged" else "alarm"].append(f"{side} {f}")
    alarms = {"ours": apart["alarm"]}
    for judge, differs in DIFFERS.items():
        alarms[judge] = [n for n in r.manual if differs(r.manual[n], widened(r.torch[n]))]
    uses = [f.use for found in replays.values() for f in found if f.right]
    planted = {
        name: _look(r, alarms, {f.name for f in wrong["manual"]}, where, trace)
        for name, where, trace in (plant(r, seed) if faults else ())
    }
    x, _ = batch_of(r)
    chosen = case.model_dump_json(exclude_defaults=True)
    drawn = f"n_in {x.shape[1]}, batch {len(x)}, |x| <= {np.abs(x).max():.3g}, {chosen}"
    return Examined(seed, case.dtype, redrawn, drawn, alarms, apart["unjudged"], max(uses), planted)


def plant(r: Recorded, seed: int) -> Iterator[tuple[str, str, Tensors]]:
    """(fault, where, manual trace with it) for every fault that this pair can have."""
    rng = np.random.default_rng([seed, 2**20])
    net, start = r.pair.manual.net, all_widened(r.start)
    params, state = ({n: start[n] for n in names} for names in (r.pair.params, r.pair.state))
    masks = {n: a for n, a in start.items() if n.startswith("mask")}
    x, y = batch_of(r)
    done, lr = int(start.get("steps_done", 0)), r.torch.get("lr")

    def rerun(net: manual.MLP, params: Tensors, masks: Tensors) -> Tensors:
        side = replace(r.pair.manual, net=net)
        return side.step(params, state, x, y, masks, done, None if lr is None else float(lr))

    names = [n for n, a in r.manual.items() if (n[0] == "d" or n in params) and a.any()]
    name = names[rng.integers(len(names))]
    wrong = r.manual[name].copy()
    index = tuple(rng.choice(np.argwhere(np.abs(wrong) >= 1e-3 * np.abs(wrong).max())))
    wrong[index] *= 1 + 1e-4
    yield ENTRY, f"{name}{[int(i) for i in index]}", r.manual | {name: wrong}
    if net.l1 or net.l2:
        more = replace(net, l1=net.l1 * 1.01, l2=net.l2 * 1.01)
        yield LAMBDA, f"l1 {net.l1:.3g}, l2 {net.l2:.3g}", rerun(more, params, masks)
    if masks and any(a.max() != 1 for a in masks.values()):
        yield DROPOUT, "masks", rerun(net, params, {n: a * 1.001 for n, a in masks.items()})
    if not net.bias:
        return
    name = f"b{rng.integers(1, net.depth + 1)}"
    without = params | {name: np.zeros_like(params[name])}
    yield BIAS, name, rerun(net, without, masks)
    if (m := len(x)) > 1:
        name = f"db{rng.integers(1, net.depth + 1)}"
        yield AVERAGE, name, r.manual | {name: r.manual[name] * (m / (m - 1))}


def batch_of(r: Recorded) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the step, those of its micro-batches one below the other."""
    parts = ([a for n, a in r.start.items() if n == w or n.startswith(f"{w}_m")] for w in "xy")
    x, y = (np.concatenate(of) for of in parts)
    return x, y


def _look(
    r: Recorded, alarms: dict[str, list[str]], wrong: set[str], where: str, trace: Tensors
) -> Planted:
    """The judges that see a fault; unchanged tensors are not judged again."""
    changed = {n for n, a in trace.items() if not np.array_equal(a, r.manual[n])}
    found = list(_replay_changed(r, trace, changed))
    seen = {"ours": bool(wrong - changed) or any(not f.right for f in found)}
    for judge, differs in DIFFERS.items():
        again = any(differs(trace[n], widened(r.torch[n])) for n in changed)
        seen[judge] = again or bool(set(alarms[judge]) - changed)
    closest = "" if seen["ours"] else str(max(found, key=lambda f: f.use, default=""))
    return Planted(where, not changed, seen, closest)


def _replay_changed(r: Recorded, trace: Tensors, changed: set[str]) -> Iterator[Replayed]:
    """Replay each operation that reads or makes a changed tensor, up to the first wrong one."""
    known = recorded_inputs(all_widened(r.start), trace)
    for node in r.nodes:
        reads = {n.removeprefix("new_") for n in node.inputs if n not in r.start}
        if changed & {*reads, *node.outputs}:
            found = replay_stretch([node], known, trace)
            yield from found
            if not all(f.right for f in found):
                return


def _torch_differs(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b))
    except AssertionError:
        return True
    return False


DIFFERS: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {
    "numpy.allclose": lambda a, b: not np.allclose(a, b),
    "torch assert_close": _torch_differs,
}


def survey(seeds: range, planted: int, jobs: int, console: Console, of: Range) -> list[Examined]:
    """Examine every seed; each worker uses one thread."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_one_thread) as pool:
        with_faults = (seed < seeds.start + planted for seed in seeds)
        found = pool.map(partial(examine, of=of), seeds, with_faults, chunksize=4)
        return list(track(found, "pairs", total=len(seeds), console=console))


def _one_thread() -> None:
    torch.set_num_threads(1)
    threadpool_limits(limits=1)


def report(examined: list[Examined], dtypes: Sequence[str] = DTYPES) -> dict[str, Any]:
    """The results as JSON."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = (line.split(": ")[1] for line in lines if line.startswith("model name"))
    by_dtype = {dtype: [e for e in examined if e.dtype == dtype] for dtype in dtypes}
    planted = {f: [e for e in examined if f in e.planted] for f in FAULTS}
    failures = {
        "false alarm": [replace(e, planted={}) for e in examined if e.alarms["ours"]],
        "unjudged": [replace(e, planted={}) for e in examined if e.unjudged],
    } | {
        f"missed: {f}": [replace(e, planted={f: e.planted[f]}) for e in es if _missed(e, f, "ours")]
        for f, es in planted.items()
    }
    return {
        "machine": f"{next(names, platform.processor())}, {multiprocessing.cpu_count()} cores",
        "versions": f"numpy {np.__version__}, torch {torch.__version__}",
        "pairs": len(examined),
        "seeds": f"{examined[0].seed} to {examined[-1].seed}",
        "right pairs that ours does not judge": sum(bool(e.unjudged) for e in examined),
        "redrawn because not finite": sum(e.redrawn for e in examined),
        "greatest share of the bound": {
            d: max((e.greatest_use for e in es), default=0.0) for d, es in by_dtype.items()
        },
        "faults that changed nothing, not counted": {
            f: sum(e.planted[f].harmless for e in es) for f, es in planted.items()
        },
        "rows": [
            row
            for f in (None, *(f for f in FAULTS if planted[f]))
            for d in dtypes
            for row in _rows(by_dtype[d], d, f)
        ],
        "failures": {f: [asdict(e) for e in es[:5]] for f, es in failures.items()},
    }


def _missed(e: Examined, fault: str, judge: str) -> bool:
    return not (e.planted[fault].harmless or e.planted[fault].seen[judge])


def _rows(pairs: list[Examined], dtype: str, fault: str | None) -> Iterator[dict[str, Any]]:
    """[how many, of how many] by judge: false alarms, or misses of all pairs where the fault
    changed something and of those among them on which the judge gave no false alarm."""
    rows = {"false alarms": {j: [bool(e.alarms[j]) for e in pairs] for j in JUDGES}}
    if fault is not None:
        pairs = [e for e in pairs if fault in e.planted and not e.planted[fault].harmless]
        quiet = {j: [e for e in pairs if not e.alarms[j]] for j in JUDGES}
        rows = {
            f"missed: {fault}": {j: [_missed(e, fault, j) for e in pairs] for j in JUDGES},
            "  without false alarm": {j: [_missed(e, fault, j) for e in quiet[j]] for j in JUDGES},
        }
    for row, by_judge in rows.items():
        yield {"row": row, "dtype": dtype} | {j: [sum(h), len(h)] for j, h in by_judge.items()}


def _cell(seen: int, of: int) -> str:
    """If none was seen, the rate may still be 3/n (95%, rule of three)."""
    rate = f"{seen / of:.2%}" if seen else f"< {3 / max(of, 3):.2%}"
    return f"{seen}/{of} ({rate})"


def show(found: dict[str, Any], console: Console) -> None:
    """Print the table, the machine, and our own failures."""
    table = Table("", "", *JUDGES, title="The same pairs; < is the 95% bound where 0 were seen")
    for row in found["rows"]:
        table.add_row(row["row"], row["dtype"], *(_cell(*row[j]) for j in JUDGES))
    console.print(table)
    for name in list(found)[:-2]:
        console.print(f"{name}: {found[name]}", soft_wrap=True)
    for name, failures in found["failures"].items():
        for e in failures:
            what = e["planted"] or e["alarms"]["ours"] or e["unjudged"]
            console.print(f"{name}, seed {e['seed']}: {e['case']}\n  {what}", soft_wrap=True)


@click.command()
@click.option("--pairs", default=10_000, type=click.IntRange(1))
@click.option("--planted", default=4_000, help="how many of them get faults as well")
@click.option("--seed", default=4_000_000, type=click.IntRange(0), help="of the first pair")
@click.option(
    "--dtype",
    "dtypes",
    type=click.Choice([*DTYPES, *HALVES]),
    multiple=True,
    default=DTYPES,
    show_default=True,
    help="by turns; may be given again",
)
@click.option("--largest", default=1024, help="width, batch and number of classes")
@click.option("--jobs", default=2, type=click.IntRange(1))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="the same as JSON")
def main(
    pairs: int,
    planted: int,
    seed: int,
    dtypes: tuple[str, ...],
    largest: int,
    jobs: int,
    out: Path | None,
) -> None:
    """Measure false alarms and misses of three judges on the same random pairs."""
    console = Console(width=None if sys.stdout.isatty() else 130)
    of = Range(dtypes, largest)
    found = report(survey(range(seed, seed + pairs), planted, jobs, console, of), dtypes)
    show(found, console)
    if out:
        out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
