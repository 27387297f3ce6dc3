"""python -m benchmarks.mutants: see the package."""

import argparse
import importlib
import json
import os
import random
import re
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from benchmarks.mutants.mutators import Mutant, mutants_of
from benchmarks.mutants.reach import FILES, KEPT, MANUAL, OPTIONS, ROOT, Reach, reach_of_tests
from benchmarks.mutants.running import NO_ANSWER, Runner, source_of

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "judge.md"
PLACE = re.compile(r"(?<=<!-- written: mutants -->\n).*?(?=<!-- written -->)", re.DOTALL)
# what the tests import besides, once for all mutants
THIRD_PARTY = (
    "torch",
    "torch._dynamo",
    "scipy.special",
    "sklearn.datasets",
    "matplotlib.pyplot",
    "hypothesis",
    "joblib",
    "pydantic",
    "rich.console",
    "click",
    "safetensors.numpy",
)


@dataclass(frozen=True)
class Outcome:
    """outcome is killed (by a test), survived, or equivalent (for a reason)."""

    file: str
    line: int
    mutant: str
    outcome: str
    by: str = ""


def all_mutants(pattern: str = "*") -> list[Mutant]:
    """Every mutant of the files of manual/ whose path matches."""
    files = sorted(str(p.relative_to(MANUAL)) for p in MANUAL.rglob("*.py"))
    return [
        mutant
        for file in files
        if fnmatch(file, pattern)
        for mutant in mutants_of(file, source_of(file))
    ]


def equivalents() -> dict[str, str]:
    """Name of the mutant -> the reason why nothing can see it."""
    kept = tomllib.loads((HERE / "equivalent.toml").read_text("utf-8"))
    return {name: group["why"] for group in kept["group"] for name in group["mutants"]}


def survey(
    mutants: Sequence[Mutant], reach: Reach, jobs: int, tell: Callable[[Outcome], None]
) -> None:
    """Tell the outcome of each; those that run while modules are imported come first."""
    runner, same = Runner(reach), equivalents()
    for mutant in mutants:
        if mutant.name in same:
            tell(Outcome(mutant.file, mutant.line, mutant.name, "equivalent", same[mutant.name]))
    tried = [m for m in mutants if m.name not in same]
    fresh = [m for m in tried if reach.is_run_at_import(m.file, m.function, m.line)]
    inside = [m for m in tried if m not in fresh]

    def outcome(mutant: Mutant) -> Outcome:
        killer = runner.killer(mutant)
        answer = "killed" if killer else "survived"
        return Outcome(mutant.file, mutant.line, mutant.name, answer, killer or "")

    def inside_of_functions(session: pytest.Session) -> None:
        runner.collected = {item.nodeid: item for item in session.items}
        with ThreadPoolExecutor(jobs) as pool:
            for found in pool.map(outcome, inside):
                tell(found)

    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(outcome, fresh):
            tell(found)
    status = pytest.main([*FILES, *OPTIONS], plugins=[_Instead(inside_of_functions)])
    if status:
        raise SystemExit(f"the tests cannot be collected: {status}")


class _Instead:
    """A pytest plugin: does something else with the collected tests than to run them."""

    def __init__(self, work: Callable[[pytest.Session], None]) -> None:
        self.work = work

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.work(session)
        return True


def lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A Markdown table: how many of each folder or file are killed."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for o in outcomes:
        folder = o.file.partition("/")[0]
        group = f"{folder}/" if folder in ("ops", "losses", "optimizers") else o.file
        counts[group][o.outcome] += 1
        counts["all"][o.outcome] += 1
    yield "| | mutants | equivalent | killed | survived | score |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name in sorted(counts, key=lambda n: (n == "all", n)):
        c = counts[name]
        score = f"{c['killed'] / max(1, c['killed'] + c['survived']):.1%}"
        what = name if name == "all" else f"`{name}`"
        yield (
            f"| {what} | {c.total()} | {c['equivalent']} | {c['killed']} | {c['survived']} "
            f"| {score} |"
        )


def write(outcomes: Sequence[Outcome], which: str) -> None:
    """Write the table into the page, between its marks, and keep the outcomes."""
    text = f"\n{which}\n\n" + "\n".join(lines(outcomes)) + "\n\n"
    PAGE.write_text(PLACE.sub(lambda _: text, PAGE.read_text("utf-8"), count=1), "utf-8")
    kept = json.dumps([asdict(o) for o in outcomes], indent=0) + "\n"
    (HERE / "results.json").write_text(kept, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", default="*", help="those of manual/ that match: 'ops/*'")
    parser.add_argument("--sample", type=int, help="a random N of the mutants; default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="the table into docs/judge.md")
    asked = parser.parse_args()
    os.chdir(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(KEPT / "hypothesis")
    mutants = all_mutants(asked.files)
    which = f"All {len(mutants):,} mutants."
    if asked.sample and asked.sample < len(mutants):
        which = f"{asked.sample} of the {len(mutants):,} mutants, at random (seed {asked.seed})."
        mutants = random.Random(asked.seed).sample(mutants, asked.sample)
    begun = time.perf_counter()
    for module in THIRD_PARTY:
        importlib.import_module(module)
    reach = reach_of_tests()
    print(f"{len(reach.lines)} tests, {sum(reach.seconds.values()):.0f} s", flush=True)
    outcomes: list[Outcome] = []

    def tell(o: Outcome) -> None:
        outcomes.append(o)
        if o.outcome == "survived" or o.by == NO_ANSWER:
            said = f"{len(outcomes)}: {o.by or o.outcome}: line {o.line}, {o.mutant}"
            print(said, file=sys.stderr, flush=True)

    survey(mutants, reach, asked.jobs, tell)
    print("\n".join([which, *lines(outcomes), f"{time.perf_counter() - begun:.0f} s"]))
    if asked.write:
        write(outcomes, which)


if __name__ == "__main__":
    main()
