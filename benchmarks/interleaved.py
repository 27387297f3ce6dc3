"""Timing in turn: the methods run alternately in one process, so that a busy moment of the machine
affects all of them. Quote only medians and their ratios."""

import platform
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
import torch

LONG_ENOUGH = 2e-3


@dataclass(frozen=True)
class Timed:
    """Seconds per call, one number per round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.seconds)


def interleaved(
    methods: Mapping[str, Callable[[], object]],
    rounds: int,
    rest: float = 0.0,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, Timed]:
    """Each method in turn, `rounds` times; a turn calls a short one repeatedly, for 2 ms.

    Each is first called three times, which fills memory and caches. Thread pools of more than one
    thread spin for a while after their last call and would slow down the next method: during rest
    (in seconds, followed by a call that is not counted) they become idle. With process_time as
    clock, other processes on the machine count less.
    """
    calls = {name: _calls(run) for name, run in methods.items()}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, run in methods.items():
            if rest:
                sleep(rest)
                run()
            began = clock()
            for _ in range(calls[name]):
                run()
            seconds[name].append((clock() - began) / calls[name])
    return {name: Timed(tuple(s)) for name, s in seconds.items()}


def ratio(timed: Mapping[str, Timed], a: str, b: str) -> float:
    """The median over rounds of a's time divided by b's of the same round."""
    pairs = zip(timed[a].seconds, timed[b].seconds, strict=True)
    return statistics.median(x / y for x, y in pairs)


def machine() -> str:
    """The processor, if the system has its name, and the versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), "?")
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{cpu}; {versions}, torch {torch.__version__}"


def _calls(run: Callable[[], object]) -> int:
    for _ in range(2):
        run()
    began = perf_counter()
    run()
    return max(1, round(LONG_ENOUGH / (perf_counter() - began)))
