"""The versions and libraries of a result: with the same ones, a case gives the same bits."""

import platform
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_info


def made_with() -> dict[str, str]:
    """Versions, the BLAS of each side as it is loaded now, its threads, and the processor.

    numpy's BLAS is the loaded library (its kernels follow the processor); torch's is built in.
    """
    built = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return {
        "torch-parity": version("torch-parity"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "numpy's BLAS": _numpy_blas(),
        "torch's BLAS": built[1] if built else "unknown",
        "torch's threads": str(torch.get_num_threads()),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The differences between the two, such as numpy 2.4.6 -> 2.5.0."""
    names = dict.fromkeys([*before, *now])
    return [
        f"{n} {before.get(n, 'none')} -> {now.get(n, 'none')}"
        for n in names
        if before.get(n) != now.get(n)
    ]


def _numpy_blas() -> str:
    """The BLAS in numpy's own package if it has one, else every loaded one."""
    pools = [p for p in threadpool_info() if p["user_api"] == "blas"]
    own = [p for p in pools if "numpy" in Path(p["filepath"]).parent.name] or pools
    found = sorted(
        f"{p['internal_api']} {p['version']} ({p.get('architecture', 'any processor')}), "
        f"{p['num_threads']} thread{'s' * (p['num_threads'] != 1)}"
        for p in own
    )
    return "; ".join(found) or "unknown"
