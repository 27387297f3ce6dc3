"""The header of a safetensors file. It may come from anywhere, so every field is checked.

Eight bytes hold the length of the header, little-endian; the header is a JSON object that gives
each tensor's type, shape and place; the numbers follow. The library that writes these files
(safetensors) cannot hand over bfloat16 without torch, and takes the last of two equal names.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from torch_parity.compare.bounds.precision import BFLOAT16
from torch_parity.compare.errors import InputError
from torch_parity.compare.sources.files.stored import Entry, check_shape, may_be_boolean

ZIP = b"PK\x03\x04"
DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16.newbyteorder("<"),
    **{f"{kind}{8 * n}": np.dtype(f"<{kind.lower()}{n}") for kind in "IU" for n in (1, 2, 4, 8)},
}
WITH_BOOLEANS = {**DTYPES, "BOOL": np.dtype(bool)}
LONGEST_HEADER = 100_000_000  # bytes, as in the safetensors library


class _Info(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    dtype: str
    shape: list[NonNegativeInt]
    data_offsets: Annotated[list[NonNegativeInt], Field(min_length=2, max_length=2)]


def read_safetensors(path: Path) -> tuple[object, dict[str, Entry]]:
    """(the value of __metadata__ or None, entries in the order of the file).

    Raises:
        InputError: the file is truncated or not safetensors, or its tensors overlap, leave gaps
            or are of a type that is not judged.
    """
    header, start = _header(path)
    metadata = header.pop("__metadata__", None)
    infos = {name: _info(path, name, value) for name, value in header.items()}
    ordered = sorted(infos.items(), key=lambda item: item[1].data_offsets)
    end = 0
    for name, info in ordered:
        if info.data_offsets[0] != end:
            raise InputError(
                f"{path}: {name[:80]!r} begins at byte {info.data_offsets[0]} of the data, "
                f"expected {end}: tensors may neither overlap nor leave gaps"
            )
        end = info.data_offsets[1]
    held = path.stat().st_size - start
    if end != held:
        raise InputError(
            f"{path} holds {held} bytes of data, expected {end} by its header; is it truncated?"
        )
    return metadata, {name: _entry(path, name, info, start) for name, info in ordered}


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the data begin."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        held = path.stat().st_size - 8
        if not 2 <= length <= min(held, LONGEST_HEADER):
            stream.seek(0)
            if stream.read(4) == ZIP:
                raise InputError(
                    f"{path} is a zip archive, as torch.save writes; expected a .safetensors or "
                    ".npz file"
                )
            raise InputError(
                f"{path} is not a safetensors or .npz file, or is truncated: expected a header of "
                f"2 to {LONGEST_HEADER:,} bytes within the file, its first 8 bytes say {length:,}"
            )
        text = stream.read(length)
    try:
        header = parsed(text.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: the safetensors header is damaged: {error}") from None
    if not isinstance(header, dict):
        raise InputError(f"{path}: the safetensors header is not a JSON object")
    return header, 8 + length


def in_fixed_order(content: bytes) -> bytes:
    """A file as the safetensors library writes it, with its metadata sorted by name: the library
    writes them in an order that changes from process to process."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    return len(text).to_bytes(8, "little") + text + content[start:]


def parsed(text: str) -> Any:
    """JSON, and nothing else: no NaN, no name twice.

    Raises:
        ValueError, RecursionError: it is not.
    """
    return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse equal names: json would keep only the last of them."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice[:80]!r} is in it twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _info(path: Path, name: str, value: object) -> _Info:
    try:
        info = _Info.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its record"
        raise InputError(f"{path}: {name[:80]!r}: {where}: {first['msg']}") from None
    if info.dtype not in (WITH_BOOLEANS if may_be_boolean(name) else DTYPES):
        raise InputError(
            f"{path}: {name[:80]!r} is of type {info.dtype[:20]!r}, expected real numbers: "
            f"{', '.join(DTYPES)}"
        )
    check_shape(f"{path}: {name[:80]!r}", tuple(info.shape))
    begin, end = info.data_offsets
    size = prod(info.shape) * WITH_BOOLEANS[info.dtype].itemsize
    if end - begin != size:
        raise InputError(
            f"{path}: {name[:80]!r} has {end - begin} bytes, expected {size} for {info.dtype} "
            f"{info.shape}"
        )
    return info


def _entry(path: Path, name: str, info: _Info, start: int) -> Entry:
    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with path.open("rb") as stream:
            stream.seek(start + info.data_offsets[0])
            yield stream

    return Entry(f"{path}: {name}", opened, tuple(info.shape), WITH_BOOLEANS[info.dtype])
