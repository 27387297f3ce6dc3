"""`parity shard`: write a case as a folder of shards, for any number of ranks to train on."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import tomli_w
import torch

from torch_parity.compare import data, threads
from torch_parity.compare.case import Case
from torch_parity.compare.errors import InputError
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.ranks import job_of


def write_shards(case: Case, shares: tuple[int, ...], out: Path) -> str:
    """Write the case with its training rows in shards of these shares -> how to train on them.

    Raises:
        InputError: the case cannot be used, a shard would be too small for its part of a step, or
            the folder is not empty.
    """
    if case.dtype not in ("float64", "float32"):
        raise InputError(
            f"--dtype {case.dtype}: ranks are judged in float64 and float32 only; use one of these"
        )
    with threads.limited(case.threads):
        loaded = data.load(case)
        sides = pair.build(case, loaded)
    rows = np.diff(np.rint(np.cumsum((0, *shares)) * (len(loaded.x_train) / sum(shares))))
    job = job_of(case, sides, tuple(int(n) for n in rows))
    if min(job.rows) < job.steps_per_epoch:
        raise InputError(
            f"--shards: the smallest shard has {min(job.rows)} of "
            f"{job.m} rows, expected one at least for each of the {job.steps_per_epoch} steps of "
            "an epoch; give fewer or more even shards, or a larger --batch"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise InputError(f"{out} is not empty; give another --out")
        (out / "case.toml").write_text(tomli_w.dumps(case.model_dump(exclude_none=True)))
        shards = [
            {
                "x": torch.tensor(loaded.x_train[begin:end]),
                "y": torch.tensor(sides.targets.y_train[begin:end]),
            }
            for begin, end in pairwise(np.cumsum((0, *job.rows)))
        ]
        job.write(out, {n: torch.tensor(p) for n, p in sides.params.items()}, shards)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from None
    return (
        f"{out}: {job.m} rows in {len(job.rows)} shards of {', '.join(map(str, job.rows))}. Train "
        f"them on this machine with\n  torchrun --standalone --nproc-per-node {len(job.rows)} "
        f"-m torch_parity.torch_ref.distributed {out}"
    )


def shares_of(text: str) -> tuple[int, ...]:
    """4 means four equal shards; 4,3,2,2 are the shares of four shards.

    Raises:
        InputError: the text is neither.
    """
    numbers = [n.strip() for n in text.split(",")]
    if not all(re.fullmatch(r"[1-9]\d{0,5}", n) for n in numbers):
        raise InputError(f"--shards is {text!r}: expected a number such as 4, or shares as 4,3,2,2")
    shares = tuple(map(int, numbers))
    return shares if len(shares) > 1 else (1,) * shares[0]
