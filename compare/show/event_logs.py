"""TensorBoard's runs of one folder: the same tags in each, so that their curves share charts.

A whole step is one event: add_scalar costs some 60 us a number, a number more in an event 3 us.
"""

import io
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event as LogEvent
from tensorboard.compat.proto.summary_pb2 import Summary as Event
from torch.utils.tensorboard.summary import custom_scalars, text

from torch_parity.compare.runs.event_file import EventFile
from torch_parity.compare.show.card import DPI


class EventLogs:
    """The log of each run, in a folder of its own below `folder`."""

    def __init__(self, folder: Path, runs: Iterable[str]) -> None:
        with ExitStack() as opened:
            self._writers = {
                run: opened.enter_context(closing(EventFile(folder / run))) for run in runs
            }
            self._opened = opened.pop_all()

    def sync(self) -> None:
        """Flush everything to the disk."""
        for writer in self._writers.values():
            writer.sync()

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def scalars(
        self, run: str, numbers: Mapping[str, float], step: int, more: Iterable[Event.Value] = ()
    ) -> None:
        """One event with all numbers of a step, by tag; more are other values, such as
        histograms."""
        values = [Event.Value(tag=tag, simple_value=v) for tag, v in numbers.items()]
        self.add(run, Event(value=[*values, *more]), step)

    def text(self, tag: str, words: str, step: int | None = None) -> None:
        """Markdown on the Text page, among parity's."""
        self.add("parity", text(tag, words), step)  # type: ignore[no-untyped-call]

    def layout(self, charts: Mapping[str, Mapping[str, object]]) -> None:
        """The charts of the Custom Scalars page."""
        self.add("parity", custom_scalars(charts))  # type: ignore[no-untyped-call]

    def picture(self, tag: str, figure: Figure, step: int) -> None:
        """A figure on the Images page, among parity's; width and height are those of a card."""
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=DPI)
        width, height = figure.canvas.get_width_height()
        image = Event.Image(encoded_image_string=png.getvalue(), width=width, height=height)
        self.add("parity", Event(value=[Event.Value(tag=tag, image=image)]), step)

    def add(self, run: str, event: Event, step: int | None = None) -> None:
        """Add any other summary."""
        self._writers[run].add_summary(event, step)

    def log(self, run: str, event: LogEvent) -> None:
        """Add an event that is not a summary, such as a graph."""
        self._writers[run].add_event(event)


def markdown(headers: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """A table for TensorBoard's Text page."""
    cells = (headers, ("---",) * len(headers), *lines)
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in cells
    )
