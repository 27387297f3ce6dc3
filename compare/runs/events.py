"""What a run drew in TensorBoard, read back from its events files: curves and pictures."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Curve = tuple[list[int], list[float]]  # steps, values

FORMATS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


@dataclass(frozen=True)
class Picture:
    """One image, as a page can hold it. width is 0 where nobody has said."""

    name: str
    uri: str
    width: int = 0


@dataclass(frozen=True)
class Drawn:
    """Every curve of a folder by its tag, and the last image of every tag."""

    curves: dict[str, Curve]
    pictures: tuple[Picture, ...]


def read(folder: Path) -> Drawn:
    """What the events files right in this folder hold; of a damaged one, what precedes the damage.

    A folder without any gives nothing.
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


def data_uri(image: bytes) -> str:
    """The image inside a page; "" for a format that browsers do not all show."""
    for begins, format_ in FORMATS.items():
        if image.startswith(begins):
            return f"data:{format_};base64,{b64encode(image).decode()}"
    return ""


def _curve(events: EventAccumulator, tag: str) -> Curve:
    points = events.Scalars(tag)
    return [p.step for p in points], [p.value for p in points]
