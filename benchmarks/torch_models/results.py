"""The figures, kept as JSON: a section for each script."""

import json
import multiprocessing
from datetime import date
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from benchmarks.interleaved import machine

KEPT = Path(__file__).parent / "results.json"


def kept() -> dict[str, Any]:
    """Every section."""
    return json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}


def keep(section: str, figures: dict[str, Any]) -> None:
    """Replace a section."""
    where = {"machine": machine(), "cores": multiprocessing.cpu_count(), "on": str(date.today())}
    found = kept() | {section: figures | where}
    KEPT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")


def one_thread() -> None:
    """NumPy's and torch's pools of threads would slow each other down."""
    torch.set_num_threads(1)
    threadpool_limits(limits=1)
