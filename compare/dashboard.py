"""TensorBoard: both sides under the same tags, so that their curves lie over one another.

A whole step is one event: add_scalar costs some 60 us a number, a number more in an event 3 us.
"""

from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary as Event
from torch.utils.tensorboard import FileWriter

from compare.differences import Difference
from compare.summary import kind
from compare.training import StepRecord


class Dashboard:
    """Writes runs/<name>/manual, torch and twin (the one-ulp twin of manual), and parity."""

    def __init__(self, folder: Path) -> None:
        sides = ("manual", "torch", "twin", "parity")
        self._writers = {side: FileWriter(str(folder / side)) for side in sides}

    def close(self) -> None:
        """Flush all that was written."""
        for writer in self._writers.values():
            writer.close()

    def write(self, record: StepRecord) -> None:
        """One event a side."""
        parity = _by_kind(record.judgement.differences)
        parity |= {"drift/manual_to_torch": record.drift, "drift/one_ulp_twin": record.envelope}
        curves = {
            "manual": record.manual,
            "torch": record.torch,
            "twin": record.twin,
            "parity": parity,
        }
        for side, numbers in curves.items():
            values = [Event.Value(tag=tag, simple_value=v) for tag, v in numbers.items()]
            self._writers[side].add_summary(Event(value=values), record.step)


def _by_kind(differences: tuple[Difference, ...]) -> dict[str, float]:
    """The greatest difference of each kind of tensor; one that does not exist stays NaN."""
    greatest: dict[str, float] = {}
    for d in differences:
        tag = "difference/" + kind(d.name)
        held = greatest.get(tag, 0.0)
        greatest[tag] = d.relative if not d.relative <= held else held
    return greatest
