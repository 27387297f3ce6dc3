"""torch's own samples of every nn.Module, each against an identical copy: none may fail.

    python -m benchmarks.module_db

Every CPU sample of torch.testing._internal.common_modules.module_db, in float32 and float64, in
train and eval mode, goes through check_modules, with a loss and its backward. The tables are
written into docs/modules.md, the outcomes into benchmarks/module_db.json.
"""

import argparse
import copy
import json
import os
import re
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torch_parity.compare.aten.check import check_modules
from torch_parity.compare.aten.leaves import leaves_of
from torch_parity.compare.errors import InputError

DTYPES = (torch.float32, torch.float64)
PAGE = Path(__file__).parents[1] / "docs" / "modules.md"
PLACE = re.compile(r"(?<=<!-- written: module_db -->\n).*?(?=<!-- written -->)", re.DOTALL)
KEPT = Path(__file__).with_suffix(".json")


@dataclass
class Outcome:
    """What became of one sample: PASS, FAIL, UNJUDGED, "refused" (a clear error of ours), or
    "crashed" (any other error). reasons are those of calls and results that were not judged."""

    module: str
    dtype: str
    sample: int
    outcome: str
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0


def samples(info: Any, dtype: torch.dtype) -> Iterator[tuple[nn.Module, tuple[Any, ...], Any]]:
    """The samples of one type of modules: module, inputs, keywords."""
    modes = (True, False) if info.train_and_eval_differ else (True,)
    for training in modes:
        torch.manual_seed(0)
        for sample in info.module_inputs_func(
            info, device="cpu", dtype=dtype, requires_grad=True, training=training
        ):
            if sample.forward_input is None:
                continue
            made, given = sample.constructor_input, sample.forward_input
            module = info.module_cls(*made.args, **made.kwargs).to(dtype).train(training)
            yield module, given.args, given.kwargs


def loss(output: Any) -> Tensor:
    """Every real number of the output counts, each with another weight."""
    found = [x for _, x in leaves_of("", output) if isinstance(x, Tensor) and x.requires_grad]
    weights = [torch.linspace(0.5, 1.5, x.numel(), dtype=x.dtype).reshape(x.shape) for x in found]
    terms = [(w * x).sum() for x, w in zip(found, weights, strict=True)]
    return torch.stack(terms).sum() if terms else torch.zeros(())


def judged(name: str, dtype: torch.dtype, number: int, sample: Any) -> Outcome:
    """One sample against its copy."""
    module, args, kwargs = sample
    begun = time.perf_counter()
    out = Outcome(name, str(dtype).removeprefix("torch."), number, "")
    try:
        report = check_modules(module, copy.deepcopy(module), *args, loss=loss, **kwargs)
        out.outcome = report.outcome
        out.reasons = tuple(
            dict.fromkeys(
                [v.reason for m in report.models for v in m.unjudged]
                + [e.reason for e in report.unjudged]
                + ([report.verdict] if report.outcome == "FAIL" else [])
            )
        )
    except InputError as error:
        out.outcome, out.reasons = "refused", (str(error),)
    except Exception as error:
        out.outcome, out.reasons = "crashed", (f"{type(error).__name__}: {error}",)
    out.seconds = time.perf_counter() - begun
    return out


def survey(names: Sequence[str] = (), most: int | None = None) -> Iterator[Outcome]:
    """The outcomes of all types, or of these; of each type and precision `most` samples at most,
    spread over all."""
    from torch.testing._internal.common_modules import module_db

    for info in module_db:
        if names and info.name not in names:
            continue
        for dtype in DTYPES:
            if dtype not in info.supported_dtypes("cpu"):
                continue
            found = list(samples(info, dtype))
            step = 1 if most is None else max(1, -(-len(found) // most))
            for number in range(0, len(found), step):
                yield judged(info.name, dtype, number, found[number])


def lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Two Markdown tables: the counts, and the types that are not judged whole."""
    counts = Counter(o.outcome for o in outcomes)
    of_type: dict[str, Counter[str]] = defaultdict(Counter)
    why: dict[str, Counter[str]] = defaultdict(Counter)
    for o in outcomes:
        of_type[o.module][o.outcome] += 1
        why[o.module].update(o.reasons)
    types = {k: sum(set(found) == {k} for found in of_type.values()) for k in counts}
    yield "| | samples | types with no other answer |"
    yield "| --- | --- | --- |"
    for answer in ("PASS", "UNJUDGED", "refused", "FAIL", "crashed"):
        yield f"| {answer} | {counts[answer]:,} | {types.get(answer, 0)} |"
    yield f"| all | {len(outcomes):,} | {len(of_type)} |"
    yield ""
    yield "| type | PASS | UNJUDGED | refused | what is not judged |"
    yield "| --- | --- | --- | --- | --- |"
    for name, found in sorted(of_type.items()):
        if set(found) != {"PASS"}:
            reason = " ".join(why[name].most_common(1)[0][0].split()).replace("|", "\\|")
            numbers = " | ".join(str(found[k]) for k in ("PASS", "UNJUDGED", "refused"))
            yield f"| `{name}` | {numbers} | {reason} |"


def write(outcomes: Sequence[Outcome], most: int | None) -> None:
    """Write the tables into the page, between its marks, and keep the outcomes."""
    which = (
        "Every sample."
        if most is None
        else f"Up to {most} samples of each type and precision, spread over all."
    )
    text = f"\n{which}\n\n" + "\n".join(lines(outcomes)) + "\n\n"
    PAGE.write_text(PLACE.sub(lambda _: text, PAGE.read_text("utf-8"), count=1), "utf-8")
    KEPT.write_text(json.dumps([asdict(o) for o in outcomes], indent=0) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--types", default="", help="only these, such as nn.GRU,nn.LSTM")
    parser.add_argument("--most", type=int, help="at most so many samples of a type and precision")
    args = parser.parse_args()
    os.nice(10)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    names = [name for name in args.types.split(",") if name]
    outcomes = []
    for outcome in survey(names, args.most):
        outcomes.append(outcome)
        if outcome.outcome not in ("PASS", "UNJUDGED"):
            told = (outcome.outcome, outcome.module, outcome.dtype, outcome.sample)
            print(*told, *outcome.reasons, flush=True)
        print(f"\r{len(outcomes)} {outcome.module}", end="\x1b[K", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print("\n".join(lines(outcomes)))
    operators = Counter(r for o in outcomes for r in o.reasons if o.outcome == "UNJUDGED")
    for reason, n in operators.most_common():
        print(f"{n:6} {reason[:200]}")
    if not names:
        write(outcomes, args.most)


if __name__ == "__main__":
    main()
