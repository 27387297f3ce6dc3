"""Ctrl-C and SIGTERM: a training stops after the current step, a grid stops at once (its results
are already stored), and any other command ends at the first Ctrl-C."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """signal is the number of the signal that came, 0 for none."""

    signal: int = 0

    @property
    def status(self) -> int:
        """The exit status by which a shell knows that signal: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal


class Stopped(KeyboardInterrupt):
    """One of the signals came; status is the exit status by which a shell knows it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


@contextmanager
def stopping() -> Iterator[None]:
    """Inside, the first signal raises Stopped; a second one does what it did outside."""

    def stop(number: int, frame: FrameType | None) -> None:
        for s, handler in before.items():
            signal.signal(s, handler)
        raise Stopped(number)

    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    for s in before:
        signal.signal(s, stop)
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Inside, the signals only set a flag: the request that it yields."""
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        if request.signal:
            raise SystemExit(request.status)
        request.signal = number

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """Inside, Ctrl-C ends the process with one line and status 130.

    It may come while torch is being imported, which may then raise any exception or none. So the
    process ends with its own status once all clean-up code has run.
    """
    stopped = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if not stopped:
            os.write(2, b"parity: stopped by Ctrl-C\n")
        stopped = True
        raise SystemExit(StopRequest(number).status)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        if stopped:
            os._exit(StopRequest(signal.SIGINT).status)
        signal.signal(signal.SIGINT, before)
