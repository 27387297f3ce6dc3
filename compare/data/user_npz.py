"""The user's own .npz file: arrays by name; pickled objects are never loaded."""

import re
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from torch_parity.compare.data.raw import Raw, whole_or_real
from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.memory import GB, of_this_machine

Arrays = dict[str, np.ndarray]


def read_npz(path: str, target: str, squared_error: bool) -> Raw:
    """The features are the one other array with as many samples as the target, in rows or, as in
    the course, in columns; or images (m, c, h, w). Where target and features are whole numbers of
    the same shape (m, t), they are sequences, with a label for each position. If the target is
    train_Y and the file holds test_X and test_Y, these are the dev set (also dev_ and val_).

    Raises:
        InputError: no readable arrays, no such target, no features or several, a label out of
            range, an entry that is not a finite number.
    """
    arrays = _read(path)
    if target not in arrays:
        raise InputError(f"{path} has no array {target!r}: {suggest(target, arrays)}")
    if name := _sequences(arrays, target):
        return Raw(_symbols(path, name, arrays), _symbols(path, target, arrays))
    y = _finite(path, target, arrays).reshape(-1)
    name = _features(path, arrays, target, len(y))
    x = _finite(path, name, arrays)
    as_columns = x.shape[0] != len(y)
    x = x.T if as_columns else x
    dev = _dev_names(arrays, name, target)
    if dev is None:
        return Raw(x, whole_or_real(y, f"{path}: {target}", squared_error) if len(y) else y)
    x_dev, y_dev = _finite(path, dev[0], arrays), _finite(path, dev[1], arrays).reshape(-1)
    if x_dev.ndim != x.ndim or x_dev.shape[as_columns] != len(y_dev) or not len(y_dev):
        raise InputError(
            f"{path}: {dev[0]} has shape {x_dev.shape} for {len(y_dev)} labels in {dev[1]}; "
            f"expected at least one sample, in {'columns' if as_columns else 'rows'} as in {name}"
        )
    x_dev = x_dev.T if as_columns else x_dev
    if x_dev.shape[1:] != x.shape[1:]:
        has, expected = ("x".join(map(str, a.shape[1:])) for a in (x_dev, x))
        raise InputError(f"{path}: {dev[0]} has {has} features, expected {expected} as in {name}")
    both = whole_or_real(
        np.concatenate([y, y_dev]), f"{path}: {target} and {dev[1]}", squared_error
    )
    return Raw(x, both[: len(y)], x_dev, both[len(y) :])


def array_names(path: str) -> list[str]:
    """The names of its arrays.

    Raises:
        InputError: it cannot be read.
    """
    return list(_read(path))


def _read(path: str) -> Arrays:
    """All arrays. Errors do not repeat NumPy's advice to allow pickles, which would be unsafe."""
    broken = (ValueError, OSError, EOFError, KeyError, MemoryError, RuntimeError, zlib.error)
    arrays: Arrays = {}
    try:
        with Path(path).open("rb") as stream:
            _refuse_too_large(path, stream)
            with np.lib.npyio.NpzFile(stream) as file:
                arrays = {name: file[name] for name in file.files}
    except InputError:
        raise
    except (*broken, zipfile.BadZipFile):
        raise InputError(
            f"{path} cannot be read as .npz; expected an undamaged file with plain arrays, as "
            "numpy.savez writes it (no pickled objects)"
        ) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"{path} cannot be read as .npz: {name!r} is not an array")
    return arrays


def _refuse_too_large(path: str, stream: IO[bytes]) -> None:
    """A compressed file may be a thousand times smaller than its arrays."""
    with zipfile.ZipFile(stream) as archive:
        declared = sum(member.file_size for member in archive.infolist())
    if 4 * declared > (memory := of_this_machine()):
        raise InputError(
            f"{path} declares arrays of {declared / GB:,.3g} GB, too many to train on in "
            f"{memory / GB:,.3g} GB of memory"
        )


def _features(path: str, arrays: Arrays, target: str, m: int) -> str:
    """The name of the one array that fits as features; a train target needs train features."""
    fitting = [n for n, a in arrays.items() if n != target and _fits(a, m)]
    of_train = [n for n in fitting if "train" in n]
    if "train" in target and of_train:
        fitting = of_train
    if len(fitting) == 1:
        return fitting[0]
    shapes = ", ".join(f"{n} {a.shape}" for n, a in arrays.items())
    remedy = "keep one" if fitting else "add their features, samples as rows or as columns"
    raise InputError(
        f"{path}: expected one 2-D array (or images, 4-D) with the {m} samples of {target!r}, "
        f"found {len(fitting)} (the file holds {shapes}); {remedy}"
    )


def _fits(a: np.ndarray, m: int) -> bool:
    """m samples as rows or as columns, or m images."""
    return (a.ndim == 2 and m in a.shape) or (a.ndim == 4 and len(a) == m)


def _sequences(arrays: Arrays, target: str) -> str | None:
    """The name of the one other array of whole numbers with the target's shape (m, t), m, t > 1."""
    y = arrays[target]
    if y.ndim != 2 or min(y.shape) < 2 or y.dtype.kind not in "iu":
        return None
    alike = (n for n, a in arrays.items() if a.shape == y.shape and a.dtype.kind in "iu")
    others = [name for name in alike if name != target]
    return others[0] if len(others) == 1 else None


def _symbols(path: str, name: str, arrays: Arrays) -> np.ndarray:
    """Whole numbers from 0."""
    symbols = arrays[name].astype(np.int64)
    if symbols.size and symbols.min() < 0:
        raise InputError(f"{path}: {name} holds {symbols.min()}, expected symbols from 0")
    return symbols


def _dev_names(arrays: Arrays, features: str, target: str) -> tuple[str, str] | None:
    """train_X, train_Y -> test_X, test_Y (or dev_, val_), where the file holds both."""
    for word in ("test", "dev", "val"):
        x, y = (re.sub("train", word, name) for name in (features, target))
        if x in arrays and y in arrays and x != features and y != target:
            return x, y
    return None


def _finite(path: str, name: str, arrays: Arrays) -> np.ndarray:
    array = arrays[name]
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: {name} is of type {array.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        values = array.astype(np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise InputError(f"{path}: {name}{list(index)} is {values[index]}, expected finite numbers")
    return values
