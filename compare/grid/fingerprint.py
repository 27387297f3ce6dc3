"""Everything besides the case that a verdict depends on: a results file has one fingerprint."""

from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch


@cache
def fingerprint() -> dict[str, str]:
    """Versions, and a digest of the sources of both sides and of the judge, which may change while
    the version number stays the same."""
    root = Path(__file__).parents[2]
    found = sha256()
    rooms = (root / room for room in ("manual", "torch_ref", "compare"))
    for path in sorted(p for room in rooms for p in room.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return {
        "torch-parity": version("torch-parity"),
        "sources": found.hexdigest()[:12],
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
