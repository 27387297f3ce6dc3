"""Ctrl-C and SIGTERM ask a run to stop after the step at hand; asked twice, it stops at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Asked:
    """signal is the number of the one that came, 0 for none."""

    signal: int = 0

    @property
    def status(self) -> int:
        """The exit status by which a shell knows that signal: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal


@contextmanager
def listening() -> Iterator[Asked]:
    """Inside, the signals only leave word."""
    asked = Asked()

    def note(number: int, frame: FrameType | None) -> None:
        if asked.signal:
            raise SystemExit(asked.status)
        asked.signal = number

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
