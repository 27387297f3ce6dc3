"""A small recorded step, as a trace and as the bytes of a file, for the tests of trace files."""

import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save

from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.files.nodes import written
from torch_parity.compare.sources.recorded import record

SMALL = Case(data="moons", samples=20, hidden=(3,), batch=5, optimizer="adam", l2=0)


@lru_cache
def trace(side: str = "manual") -> Trace:
    """The third step of a small case."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        loaded = data.load(SMALL)
        sides = pair.build(SMALL, loaded)
        last = record(sides, loaded.x_train[:5], sides.targets.y_train[:5], 3)[-1]
    start = {n: a for n, a in last.start.items() if not n.startswith("previous_")}
    return Trace(start, last.trace("manual" if side == "manual" else "torch"), last.nodes)


def named(of: Trace) -> dict[str, np.ndarray]:
    """All tensors by the names that a file gives them."""
    given = {f"given/{name}": np.asarray(a) for name, a in of.given.items()}
    return given | {f"made/{name}": np.asarray(a) for name, a in of.made.items()}


def metadata(of: Trace, **changed: Any) -> dict[str, str]:
    """What a file says of its tensors."""
    said = {"order": list(of.made), "nodes": written(of.nodes)}
    texts = {"format": "torch-parity trace", "version": "1"}
    texts |= {name: json.dumps(value) for name, value in said.items()}
    texts |= changed
    return {name: text for name, text in texts.items() if text is not None}


def as_safetensors(tensors: dict[str, np.ndarray], said: dict[str, str] | None = None) -> bytes:
    """By the library, not by the code under test."""
    return save(tensors, said)


def as_npz(tensors: dict[str, np.ndarray], said: dict[str, str] | None = None) -> bytes:
    """By NumPy, not by the code under test."""
    file = io.BytesIO()
    text = {"__metadata__": np.array(json.dumps(said))} if said else {}
    np.savez(file, **tensors, **text)
    return file.getvalue()


def read_by_others(path: Path, content: bytes) -> dict[str, np.ndarray]:
    """The tensors as safetensors or NumPy read them."""
    if content[:2] != b"PK":
        return load(content)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "__metadata__"}
