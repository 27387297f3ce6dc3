"""`parity record`: write one step of one side as a file, to judge other implementations by."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from torch_parity.compare import data, threads
from torch_parity.compare.bounds.precision import all_widened
from torch_parity.compare.case import Case
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import Side
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.files.trace_file import save
from torch_parity.compare.sources.recorded import record


def write_trace(case: Case, step: int, side: Side, out: Path, force: bool) -> str:
    """Write what `side` computed in that step on the first batch -> a line to print.

    Both sides draw the same masks, so that two files of one case can be compared.

    Raises:
        InputError: the case cannot be used, its numbers do not stay finite, or the file exists.
    """
    if out.exists() and not force:
        raise InputError(f"{out} exists; give another --out, or --force to replace it")
    with threads.limited(case.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        x, y = loaded.x_train[: case.batch], sides.targets.y_train[: case.batch]
        try:
            last = record(sides, x, y, step)[-1]
        except ArithmeticError as error:
            raise InputError(f"{error}; try a smaller --lr") from None
    begun = all_widened(last.start) if side == "manual" else last.start
    start = {name: a for name, a in begun.items() if not _unasked(name)}
    given = {**start, "batch": np.asarray(case.batch)}
    about = {
        "case": case.model_dump(mode="json"),
        "side": side,
        "step": step,
        "written_by": f"torch-parity {version('torch-parity')}, torch {torch.__version__}",
    }
    trace = Trace(given, last.trace(side), last.nodes)
    save(out, trace, about)
    return (
        f"{out}: step {step} of {side}, {len(trace.made)} tensors computed from {len(given)} given"
    )


def _unasked(name: str) -> bool:
    """Of the previous step, causes only need the gradients of the parameters."""
    return name.startswith("previous_") and not name.startswith(("previous_dW", "previous_db"))
