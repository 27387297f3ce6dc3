"""Runs of `parity train` for tests: what one left, and how to stop one where a test wants it."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.summary_pb2 import Summary as Event

from torch_parity.compare.runs import checkpoint
from torch_parity.compare.show.dashboard import Dashboard

Point = tuple[int, str, float | bytes]


def points(folder: Path) -> dict[str, list[Point]]:
    """All of every log, in the order of the file: (step, tag, number or histogram, image, text)."""
    return {
        path.parent.name: [
            (event.step, value.tag, _content(value))
            for event in LegacyEventFileLoader(str(path)).Load()
            for value in event.summary.value
        ]
        for path in sorted(folder.rglob("*tfevents*"))
    }


def _content(value: Event.Value) -> float | bytes:
    if value.tag.startswith("_hparams_"):
        return b""  # a map, in whose order protobuf differs from process to process
    return value.simple_value if value.HasField("simple_value") else value.SerializeToString()


def left(folder: Path) -> dict[str, Any]:
    """All that a finished run leaves, but for times: parameters, optimizer state, generators, the
    report, the curves."""
    newest = checkpoint.stored(folder / "checkpoints")[-1]
    record = json.loads(newest.read_bytes())
    del record["checksum"], record["record"]["seconds"]
    for log in record["record"]["logs"].values():
        del log["checksum"]  # of points with the time of day
    if record["record"]["gradchecks"]:
        del record["record"]["gradchecks"]["seconds"]
    return {
        "arrays": newest.with_suffix(".safetensors").read_bytes(),
        "record": record,
        "summary": (folder / "summary.json").read_text(),
        # NaN is not equal to itself; its text is.
        "points": repr(points(folder)),
    }


def stop_after(step: int, patch: pytest.MonkeyPatch, number: int = signal.SIGINT) -> None:
    """The signal arrives while this step is being logged, as Ctrl-C would."""
    write = Dashboard.write

    def write_then_stop(self: Dashboard, record: Any) -> None:
        write(self, record)
        if record.step == step:
            signal.raise_signal(number)  # to this thread, so it is noted before the next step

    patch.setattr(Dashboard, "write", write_then_stop)
