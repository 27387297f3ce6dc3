"""Read the curves and pictures of a run from its TensorBoard files."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

Curve = tuple[list[int], list[float]]  # steps, values

FORMATS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


@dataclass(frozen=True)
class Picture:
    """One image as a data URI. width is 0 if it is not known."""

    name: str
    uri: str
    width: int = 0


@dataclass(frozen=True)
class Drawn:
    """Every curve of a folder by its tag, and the last image of every tag."""

    curves: dict[str, Curve]
    pictures: tuple[Picture, ...]


def read(folder: Path) -> Drawn:
    """The curves and pictures in the events files of this folder (not of folders in it); of a
    damaged file, those before the damage. Empty if there are no files.
    """
    if not any(folder.glob("events.out.tfevents.*")):
        return Drawn({}, ())
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 1})
    events.Reload()
    tags = events.Tags()
    curves = {tag: _curve(events, tag) for tag in tags["scalars"]}
    last = {tag: events.Images(tag)[-1] for tag in tags["images"]}
    pictures = (
        Picture(f"{tag}, step {image.step}", uri, image.width)
        for tag, image in last.items()
        if (uri := data_uri(image.encoded_image_string))
    )
    return Drawn(curves, tuple(pictures))


def ends(file: Path) -> dict[str, tuple[float, float]]:
    """The first and the last value of every curve in one events file; empty if there is none."""
    found: dict[str, tuple[float, float]] = {}
    if file.is_file():
        for event in LegacyEventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    first, _ = found.get(value.tag, (value.simple_value, None))
                    found[value.tag] = (first, value.simple_value)
    return found


def data_uri(image: bytes) -> str:
    """The image as a data URI; "" for a format that not all browsers show."""
    for begins, format_ in FORMATS.items():
        if image.startswith(begins):
            return f"data:{format_};base64,{b64encode(image).decode()}"
    return ""


def _curve(events: EventAccumulator, tag: str) -> Curve:
    points = events.Scalars(tag)
    return [p.step for p in points], [p.value for p in points]
