"""How well two models are told apart: mistakes planted in one of two, and right pairs.

    python -m benchmarks.modules --seeds 1000-1002 --out build/mistakes.jsonl

For each kind of mistake and seed: is it seen, does the first parted call lie where the mistake was
planted, is it named, is another name given? For each kind of right pair, from both sides: is there
a difference, or a cause?
"""

import argparse
import json
import os
import random
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.places import answers, lies_in, place_of
from benchmarks.torch_models.results import keep
from benchmarks.zoo import mistakes, pairs
from benchmarks.zoo.cases import ZooCase
from torch_parity.compare.aten.causes import CATALOGUE, told
from torch_parity.compare.aten.check import check_steps
from torch_parity.compare.aten.comparison import Comparison, compared, why
from torch_parity.compare.aten.given import given_differ, given_pairs
from torch_parity.compare.aten.parting import Parting
from torch_parity.compare.aten.recording import recorded
from torch_parity.compare.aten.step import Step, options_of

# The zoo gives these kinds no name, and the catalogue has one for them.
NAMED_AS_WELL: dict[str, tuple[str, ...]] = {
    "bias_missing": ("bias_missing",),
    "layers_swapped": ("layers_swapped",),
    "activation_else": ("activation_other",),
    "activation_missing": ("activation_missing",),
    "activation_slope": ("activation_other",),
    "final_norm_missing": ("norm_missing",),
    "dropout_keep_for_drop": ("dropout_p",),
    "beta_else": ("betas",),
    "adam_eps": ("optimizer_eps",),
    "nesterov_lost": ("nesterov",),
    "momentum_damped": ("dampening",),
    "momentum_else": ("momentum",),
    "decay_forgotten": ("weight_decay",),
    "greatest_square_lost": ("amsgrad",),
}
# Of these kinds a general name of the catalogue is true: a factor, a missing function.
TRUE_AS_WELL: dict[str, tuple[str, ...]] = {
    **NAMED_AS_WELL,
    "scale_not_root": ("output_scaled", "attention_scale_wrong_d"),
    "hook_twice": ("output_scaled",),
    "temperature": ("output_scaled",),
    "extra_tanh": ("activation_missing",),
    "cell_not_squashed": ("activation_missing",),
    "linear_backward": ("gradient_scaled",),
}


@dataclass
class Outcome:
    """What became of one case. crashed is the error, where our own code raised one."""

    what: str
    kind: str
    seed: int
    asked: str | None = None
    turned: bool = False
    architecture: str = ""
    cause: str | None = None
    seen: bool = False
    placed: bool = False
    first: str = ""
    wanted: str = ""
    causes: tuple[str, ...] = ()
    explanations: tuple[str, ...] = ()
    crashed: str = ""
    seconds: float = 0.0

    @property
    def job(self) -> "Job":
        """What was run."""
        return self.what, self.kind, self.seed, self.asked, self.turned

    @property
    def named(self) -> bool:
        """By its own name, and by no other."""
        return self.causes == (self.cause,)

    @property
    def misnamed(self) -> bool:
        """By a name that is not true."""
        allowed = {self.cause, *TRUE_AS_WELL.get(self.kind, ())}
        return any(name not in allowed for name in self.causes)


def step_of(case: ZooCase, called: str) -> Step:
    return Step(
        case.model, case.inputs, case.keywords, case.loss, case.target, case.optimizer, called
    )


@dataclass
class Judged:
    """Two models compared, without the judgement of each by itself."""

    wrong: bool
    there: Comparison
    back: Parting | None
    causes: tuple[Any, ...]


def judged(a: ZooCase, b: ZooCase) -> Judged:
    steps = step_of(a, "a"), step_of(b, "b")
    torch.manual_seed(0)
    first = recorded(steps[0])
    torch.manual_seed(0)
    pair = first, recorded(steps[1], first)
    called = "a", "b"
    there = compared(pair, {})
    differ = given_differ(*pair, given_pairs(*pair, {}), called)
    options = options_of(steps[0]), options_of(steps[1])
    back, causes = why(there, pair, {}, (), called, options)
    wrong = any(e.outcome in ("wrong", "absent") for e in there.alignment.ends)
    return Judged(wrong or bool(differ) or bool(there.lacking), there, back, causes)


def of_mistake(
    kind: str, seed: int, architecture: str | None = None, turned: bool = False
) -> Outcome:
    """A planted mistake; turned, the first model has it."""
    begun = time.perf_counter()
    out = Outcome("mistake", kind, seed)
    try:
        planted = mistakes.mistake(kind, seed, torch.float64, architecture)
    except ValueError as error:
        out.what, out.crashed = "not planted", str(error)
        return out
    out.architecture, out.cause = planted.architecture, planted.cause
    out.wanted = f"{planted.phase} {planted.module!r}"
    try:
        sides = planted.right, planted.wrong
        found = judged(*(sides[::-1] if turned else sides))
    except Exception as error:
        out.crashed = f"{type(error).__name__}: {error}"
        return out
    out.seen = found.wrong
    alignment = found.there.alignment
    either = place_of(found.there.parting, alignment), place_of(found.back, alignment)
    places = [p for p in either if p is not None]
    out.first = "; ".join(f"{p.phase} {p.module!r} {p.operation}" for p in places)
    right = answers(planted)
    out.placed = any(lies_in(p, right, planted.phase) for p in places)
    if len(found.causes) == 1:
        out.causes = tuple(c.name for c in found.causes)
    out.explanations = told(found.causes)
    out.seconds = time.perf_counter() - begun
    return out


def of_single_pair(kind: str, seed: int) -> Outcome:
    """A right pair in float32, from both sides: compared in float64, and each judged by itself."""

    def look(a: ZooCase, b: ZooCase) -> tuple[tuple[str, ...], str]:
        torch.manual_seed(0)
        found = check_steps(step_of(a, "a"), step_of(b, "b"), {})
        wrong = " ".join(found.verdict.splitlines()[:4]) if found.outcome == "FAIL" else ""
        return found.explanations, wrong

    return _from_both_sides(Outcome("single", kind, seed), torch.float32, look)


def of_pair(kind: str, seed: int) -> Outcome:
    """A right pair in float64, from both sides."""

    def look(a: ZooCase, b: ZooCase) -> tuple[tuple[str, ...], str]:
        found = judged(a, b)
        wrong = "; ".join(
            f"{e.end.name} {e.outcome} {e.use:.3g} {e.reason}"
            for e in found.there.alignment.ends
            if e.outcome in ("wrong", "absent")
        )
        lacking = f" lacking {found.there.lacking}" if found.there.lacking else ""
        return told(found.causes), f"{wrong[:300]}{lacking}" if found.wrong else ""

    return _from_both_sides(Outcome("pair", kind, seed), torch.float64, look)


def _from_both_sides(
    out: Outcome,
    dtype: torch.dtype,
    look: Callable[[ZooCase, ZooCase], tuple[tuple[str, ...], str]],
) -> Outcome:
    """look gives the explanations of one direction, and what is wrong, "" if nothing is."""
    begun = time.perf_counter()
    for turned in (False, True):
        both = pairs.pair(out.kind, out.seed, dtype)
        try:
            told_why, wrong = look(*((both.b, both.a) if turned else (both.a, both.b)))
        except Exception as error:
            out.crashed = f"{type(error).__name__}: {error}"
            return out
        out.explanations += told_why
        if wrong:
            out.seen, out.first = True, wrong[:300]
    out.seconds = time.perf_counter() - begun
    return out


Job = tuple[str, str, int, str | None, bool]


def _run(job: Job) -> Outcome:
    what, kind, seed, architecture, turned = job
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if what == "mistake":
        found = of_mistake(kind, seed, architecture, turned)
    else:
        found = of_pair(kind, seed) if what == "pair" else of_single_pair(kind, seed)
    return replace(found, asked=architecture, turned=turned)


def seeds_of(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0", help="such as 1000-1004")
    parser.add_argument(
        "--kinds", default="", help="only kinds that contain one of these, by comma"
    )
    parser.add_argument("--architecture", default=None)
    parser.add_argument("--turned", action="store_true", help="the mistakes in the first model")
    parser.add_argument("--float32", action="store_true", help="right pairs in float32")
    parser.add_argument("--only", choices=["mistakes", "pairs"])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="what is in there already is not run again")
    parser.add_argument("--keep", action="store_true", help="the totals, for docs/modules.md")
    args = parser.parse_args()
    wanted = [k for k in args.kinds.split(",") if k]

    def chosen(kinds: tuple[str, ...]) -> list[str]:
        return [k for k in kinds if not wanted or any(w in k for w in wanted)]

    jobs: list[Job] = []
    for seed in seeds_of(args.seeds):
        if args.only != "pairs":
            jobs += [
                ("mistake", k, seed, args.architecture, args.turned) for k in chosen(mistakes.KINDS)
            ]
        if args.only != "mistakes":
            what = "single" if args.float32 else "pair"
            jobs += [(what, k, seed, None, False) for k in chosen(pairs.KINDS)]
    random.Random(0).shuffle(jobs)  # what is done so far is a fair sample at any time
    outcomes = [] if args.out is None else read(args.out)
    done = {o.job for o in outcomes}
    jobs = [job for job in jobs if job not in done]
    with ProcessPoolExecutor(args.jobs, initializer=os.nice, initargs=(15,)) as pool:
        for i, outcome in enumerate(pool.map(_run, jobs, chunksize=1), 1):
            outcomes.append(outcome)
            print(f"\r{i} of {len(jobs)}", end="", file=sys.stderr, flush=True)
            if args.out:
                with args.out.open("a") as out:
                    out.write(json.dumps(asdict(outcome)) + "\n")
    print(file=sys.stderr)
    report(outcomes)
    if args.keep:
        keep("mistakes", totals(outcomes) | {"seeds": args.seeds})


def read(out: Path) -> list[Outcome]:
    """What an earlier run has done."""
    lines = out.read_text("utf-8").splitlines() if out.exists() else []
    lists = "causes", "explanations"
    parsed = map(json.loads, lines)
    return [Outcome(**o | {name: tuple(o[name]) for name in lists}) for o in parsed]


def totals(outcomes: list[Outcome]) -> dict[str, Any]:
    """Of the mistakes, for the JSON."""
    found = [o for o in outcomes if o.what == "mistake"]
    known = [o for o in found if o.cause in {entry.name for entry in CATALOGUE}]
    return {
        "planted": len(found),
        "kinds": len({o.kind for o in found}),
        "architectures": len({o.architecture for o in found}),
        "seen": sum(o.seen for o in found),
        "placed": sum(o.placed for o in found),
        "in the catalogue": len(known),
        "named": sum(o.named for o in known),
        "misnamed": sum(o.misnamed for o in found),
        "crashed": sum(bool(o.crashed) for o in found),
        "elsewhere": [f"{o.kind} in {o.architecture}" for o in found if not o.placed],
        "not named": [f"{o.kind} in {o.architecture}" for o in known if not o.named],
    }


def report(outcomes: list[Outcome]) -> None:
    """A line a kind that has something to say, then the totals."""
    names = {entry.name for entry in CATALOGUE}
    of_kind: dict[str, list[Outcome]] = defaultdict(list)
    for o in outcomes:
        if o.what == "mistake":
            of_kind[o.kind].append(o)
    print(f"{'kind':28}{'cause':28}{'n':>4}{'seen':>5}{'placed':>7}{'named':>6}{'wrong':>6}")
    for kind, found in of_kind.items():
        cause = found[0].cause or "-"
        counts = [
            sum(x)
            for x in zip(*((o.seen, o.placed, o.named, o.misnamed) for o in found), strict=True)
        ]
        print(
            f"{kind:28}{cause:28}{len(found):4}{counts[0]:5}{counts[1]:7}{counts[2]:6}{counts[3]:6}"
        )
        for o in found:
            if o.crashed or not o.seen or not o.placed or o.misnamed or (o.cause and not o.named):
                print(f"    {o.architecture} {o.seed}: wanted {o.wanted}, first {o.first}")
                if o.crashed:
                    print(f"        CRASHED {o.crashed}")
                for line in o.explanations:
                    print(f"        {line}")
    found = [o for each in of_kind.values() for o in each]
    known = [o for o in found if o.cause in names]
    nameable = [o for o in found if o.cause]
    print(
        f"{len(found)} mistakes of {len(of_kind)} kinds: {sum(o.seen for o in found)} seen, "
        f"{sum(o.placed for o in found)} placed; of {len(nameable)} with a name {len(known)} in "
        f"the catalogue and {sum(o.named for o in known)} named; {sum(o.misnamed for o in found)} "
        f"misnamed; {sum(bool(o.crashed) for o in outcomes)} crashed"
    )
    right = [o for o in outcomes if o.what in ("pair", "single")]
    for o in right:
        if o.seen or o.explanations or o.crashed:
            print(f"ALARM {o.kind} {o.seed}: {o.first} {o.explanations} {o.crashed}")
    print(
        f"{len(right)} right pairs from both sides: {sum(o.seen for o in right)} with a "
        f"difference, {sum(bool(o.explanations) for o in right)} with a cause"
    )


if __name__ == "__main__":
    main()
