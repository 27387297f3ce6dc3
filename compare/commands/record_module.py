"""`parity record --module`: write one step of a model of a user's own Python file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch_parity.compare.aten.recording import load_recording, recording_of
from torch_parity.compare.commands.modules import step_of
from torch_parity.compare.errors import InputError
from torch_parity.compare.show.progress import watched


def write_recording(
    module: str,
    options: Mapping[str, Any],
    draws: Path | None,
    keep: Path | None,
    out: Path,
    force: bool,
) -> str:
    """Record the step that a function describes, and write it -> a line to print.

    Raises:
        InputError: there is no such function, its step raises, the file exists or is to be .npz, or
            options holds one of a case, other than its seed.
    """
    for name, value in options.items():
        if value is not None and name != "seed":
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} is for a case, not for --module: leave it out")
    if out.suffix == ".npz":
        raise InputError(
            f"{out}: a recording of a model is a safetensors file; give --out a name that ends in "
            ".safetensors"
        )
    if out.exists() and not force:
        raise InputError(f"{out} exists; give another --out, or --force to replace it")
    with watched() as watch:
        draws_of = None if draws is None else load_recording(draws)
        step = step_of(module, _seed(options), keep)
        if isinstance(step.model, Path):
            raise InputError(f"{module} is no Python file; expected FILE.py:NAME")
        recording = recording_of(step, draws_of)
        recording.save(out, watch)
    size = out.stat().st_size
    return f"{out}: {len(recording.record.calls)} ATen calls of {step.called}, {size:,} bytes"


def _seed(options: Mapping[str, Any]) -> int:
    """--seed, which a case has as well, is text."""
    text = options.get("seed", "0")
    try:
        return int(text)
    except ValueError:
        raise InputError(f"--seed is a whole number, not {text!r}") from None
