"""What the comparison of every step settles and sees, without replaying the step: on right pairs of
random networks, and with one entry of one tensor changed.

    python -m benchmarks.every_step --pairs 500 --seed 6000000
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from time import perf_counter

import numpy as np
import torch

from benchmarks.false_alarms import Range, record
from torch_parity.compare import threads
from torch_parity.compare.bounds.precision import is_real
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.sources.recorded import Recorded

SIZES = (1e-3, 1e-4, 1e-5, 1e-6)


@np.errstate(all="ignore")
def survey(pairs: int, seed: int, largest: int) -> Iterator[tuple[str, Counter[str]]]:
    """dtype, and what happened to one pair."""
    of = Range(("float32", "float64"), largest, more=False)
    for number in range(seed, seed + pairs):
        with torch.random.fork_rng(devices=[]):
            case, r, _ = record(number, of)
        seen: Counter[str] = Counter(steps=1)
        began = perf_counter()
        judgement = judge(r.nodes, r.start, r.manual, r.torch)
        seen["judging"] = perf_counter() - began  # type: ignore[assignment]
        seen["alarms"] += judgement.outcome != "PASS"
        seen["replayed whole"] += bool(judgement.replays)
        seen["compared only"] += not judgement.replays and all(
            d.verdict == "match" for d in judgement.differences
        )
        seen["stepping"] = _two_steps(r)  # type: ignore[assignment]
        for size in SIZES:
            seen[f"missed {size:.0e}"] += _missed(r, number, size)
        yield case.dtype, seen


def _two_steps(r: Recorded) -> float:
    """Seconds of the hand-written step, twice."""
    start, pair = r.start, r.pair
    params, state = ({n: start[n] for n in names} for names in (pair.params, pair.state))
    masks = {n: a for n, a in start.items() if n.startswith("mask")}
    began = perf_counter()
    pair.manual.step(params, state, start["x"], start["y"], masks)
    return 2 * (perf_counter() - began)


def _missed(r: Recorded, seed: int, size: float) -> bool:
    """One entry of one tensor of the hand's side, off by that share of the tensor's largest."""
    rng = np.random.default_rng([seed, 2**21])
    names = [n for n, a in r.manual.items() if is_real(a.dtype) and a.any()]
    name = str(rng.choice(names))
    changed = np.array(r.manual[name])
    changed.flat[rng.integers(changed.size)] += changed.dtype.type(size * np.abs(changed).max())
    return judge(r.nodes, r.start, {**r.manual, name: changed}, r.torch).passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=6_000_000)
    parser.add_argument("--largest", type=int, default=256)
    asked = parser.parse_args()
    totals: dict[str, Counter[str]] = {}
    with threads.limited(1):
        for dtype, seen in survey(asked.pairs, asked.seed, asked.largest):
            totals.setdefault(dtype, Counter()).update(seen)
    for dtype, seen in sorted(totals.items()):
        cost = seen["judging"] / seen["stepping"]
        counts = ", ".join(f"{k} {v}" for k, v in seen.items() if k not in ("judging", "stepping"))
        print(f"{dtype}: {counts}; judging / two steps by hand {cost:.2f}")


if __name__ == "__main__":
    main()
