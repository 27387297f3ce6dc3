"""The members of an .npz file, read and written: never unpickled, and checked for their size before
they are read."""

import json
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from torch_parity.compare.errors import InputError
from torch_parity.compare.sources.files.stored import BROKEN, Entry, check_shape, may_be_boolean

DEFLATE = 1032  # the most bytes that one byte of a deflated member can expand to
LONGEST_TEXT = 100_000_000  # bytes of __metadata__


def read_npz(path: Path) -> tuple[str | None, dict[str, Entry]]:
    """(the text under __metadata__ or None, entries in the order of the file).

    Raises:
        InputError: the archive is damaged, claims a size it cannot have, has two arrays of one
            name, or a member that is not an array of real numbers.
    """
    entries: dict[str, Entry] = {}
    metadata = None
    try:
        archive = zipfile.ZipFile(path)  # stays open for as long as an entry refers to it
        members = archive.infolist()
        if sum(m.compress_size for m in members) > path.stat().st_size:
            raise ValueError("its members overlap")
        for member in members:
            entry = _entry(path, archive, member)
            name = member.filename.removesuffix(".npy")
            if name in entries or (name == "__metadata__" and metadata is not None):
                raise ValueError(f"{name[:80]!r} is in it twice")
            if name == "__metadata__":
                metadata = _text(entry)
            else:
                entries[name] = _numeric(name, entry)
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"{path} cannot be read as .npz: {error or 'it is damaged'}") from None
    return metadata, entries


def write_npz(
    file: Path, called: str, metadata: Mapping[str, str], tensors: Mapping[str, np.ndarray]
) -> None:
    """Write tensors and metadata as read_npz reads them. called is the name for messages.

    Raises:
        InputError: NumPy itself has no such type, as bfloat16.
        OSError: the file cannot be written.
    """
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in "fiub":
            raise InputError(
                f"{called}: {name} is {tensor.dtype}, which .npz cannot hold; give --out a name "
                "that ends in .safetensors"
            )
    with file.open("wb") as stream:
        np.savez(stream, allow_pickle=False, __metadata__=np.array(json.dumps(metadata)), **tensors)


def _entry(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry:
    label = f"{path}: {member.filename.removesuffix('.npy')[:80]}"
    if not member.filename.endswith(".npy"):
        raise InputError(f"{label} is not an array; expected a file written by numpy.savez")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            f"{label} has a compression that numpy.savez does not use; write it with numpy.savez"
        )
    if member.file_size > DEFLATE * member.compress_size:
        raise InputError(
            f"{label} claims {member.file_size:,} bytes, too many for its compressed size"
        )
    with archive.open(member) as stream:
        shape, by_columns, dtype = _npy_header(stream)
        start = stream.tell()
    if dtype.hasobject:
        raise InputError(f"{label} holds Python objects, expected numbers (nothing is unpickled)")
    check_shape(label, shape)
    if prod(shape) * dtype.itemsize != member.file_size - start:
        raise InputError(
            f"{label} is {dtype} {shape}, expected {prod(shape) * dtype.itemsize:,} bytes, but "
            f"holds {member.file_size - start:,}"
        )

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with archive.open(member) as stream:
            stream.read(start)
            yield stream

    return Entry(label, opened, shape, dtype, by_columns=by_columns)


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"unknown .npy version {version}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on headers written by Python 2
        try:
            shape, by_columns, dtype = readers[version](stream)
        except ValueError:  # NumPy's words may advise to allow pickles, which run code
            raise ValueError("the header of an array is damaged or too long") from None
    if any(side < 0 for side in shape):
        raise ValueError(f"impossible shape {shape}")
    return shape, by_columns, dtype


def _numeric(name: str, entry: Entry) -> Entry:
    dtype = entry.dtype
    kinds = "fiub" if may_be_boolean(name) else "fiu"
    if dtype.kind not in kinds or dtype.itemsize > 8:
        raise InputError(
            f"{entry.label} is of type {str(dtype)[:40]}, expected real numbers of 64 bits at most"
        )
    return replace(entry, by_columns=entry.by_columns and len(entry.shape) > 1)


def _text(entry: Entry) -> str:
    if entry.dtype.kind != "U" or entry.shape or entry.dtype.itemsize > LONGEST_TEXT:
        raise InputError(
            f"{entry.label} is {str(entry.dtype)[:40]} {entry.shape}, expected one string: "
            "numpy.array(json.dumps(...))"
        )
    return str(entry.read())
