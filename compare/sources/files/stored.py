"""Tensors in a file: shape and type are known at once, the numbers are read on access."""

import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from os import SEEK_CUR
from typing import IO

import numpy as np

from torch_parity.compare.errors import InputError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
GIVEN, MADE = "given/", "made/"
LARGEST = (
    2**48
)  # entries of a tensor, not counting sides of 0: NumPy must be able to make the array

# What reading a damaged file may raise.
BROKEN = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Entry:
    """One tensor in a file, not read yet.

    label is its name in errors, open gives a stream at its first byte, dtype is the type in the
    file, by_columns means that the first index varies fastest.
    """

    label: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]
    shape: tuple[int, ...]
    dtype: np.dtype
    by_columns: bool = False

    @property
    def size(self) -> int:
        """The number of its entries."""
        return prod(self.shape)

    @property
    def read_as(self) -> np.dtype:
        """The type of the array in memory: in this computer's byte order."""
        return self.dtype.newbyteorder("=")

    def read(self) -> np.ndarray:
        """The whole tensor.

        Raises:
            InputError: the file does not hold it (any more).
        """
        (flat,) = self.blocks(max(self.size, 1))
        return flat.reshape(self.shape, order="F" if self.by_columns else "C")

    def blocks(self, count: int) -> Iterator[np.ndarray]:
        """Its entries in the order of the file, at most count at once; at least one block.

        Raises:
            InputError: the file does not hold them (any more).
        """
        try:
            with self.open() as stream:
                for start in range(0, max(self.size, 1), count):
                    expected = min(count, self.size - start) * self.dtype.itemsize
                    data = stream.read(expected)
                    if len(data) != expected:
                        raise EOFError
                    yield self._numbers(data)
        except BROKEN as error:
            reason = str(error) or "the file ends too early"
            raise InputError(f"{self.label} cannot be read: {reason}") from None

    def part(self, start: int, count: int) -> bytes:
        """count bytes of it, from byte `start` on.

        Raises:
            InputError: the file does not hold them (any more).
        """
        try:
            with self.open() as stream:
                stream.seek(start, SEEK_CUR)
                data = stream.read(count)
        except BROKEN as error:
            raise InputError(f"{self.label} cannot be read: {error}") from None
        if len(data) != count:
            raise InputError(f"{self.label} cannot be read: the file ends too early")
        return data

    def _numbers(self, data: bytes) -> np.ndarray:
        if self.dtype == bool and data.translate(None, b"\0\1"):
            raise ValueError("a boolean is neither 0 nor 1")
        return np.frombuffer(data, self.dtype).astype(self.read_as, copy=False)


class Stored(Mapping[str, np.ndarray]):
    """Tensors by name; each access reads the file again, and nothing is cached."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = dict(entries)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.entries[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries


def may_be_boolean(name: str) -> bool:
    """Whether a tensor of this name in a file may hold booleans: a mask is given, never made."""
    return name.startswith(GIVEN)


def check_shape(label: str, shape: tuple[int, ...]) -> None:
    """Refuse a shape that no array can have.

    Raises:
        InputError: more than 32 dimensions, or too many entries.
    """
    if len(shape) > 32 or prod(side or 1 for side in shape) > LARGEST:
        raise InputError(f"{label} has an impossible shape: {str(shape)[:80]}")
