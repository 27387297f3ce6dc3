"""The user's own .csv or .npz: read without pickle, checked before a single number is used."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from compare.errors import InputError, suggest


@dataclass(frozen=True)
class Raw:
    """Features (m, n) and labels (m,): class indices of an integer type, or numbers (float)."""

    x: np.ndarray
    labels: np.ndarray
    x_dev: np.ndarray | None = None
    labels_dev: np.ndarray | None = None


def read(path: str, target: str | None) -> Raw:
    """Features and labels of a .csv or .npz file; every column or array but the target's is used.

    .csv: the first line names the columns; labels may be text.
    .npz: the features are the one other array with as many samples as the target, as rows or, as
    in the course, as columns. If the target is train_Y and test_Y exists, test_* is the dev set.

    Raises:
        InputError: no target is named or found, the file is missing, empty or not of its kind,
            a feature is text, NaN or infinite, or a label is out of range.
    """
    if target is None:
        raise InputError(f"{path}: name the labels with --target (a column, or an array of .npz)")
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give the path of a .csv or .npz file")
    raw = _read_csv(path, target) if path.endswith(".csv") else _read_npz(path, target)
    if not len(raw.x) or not raw.x.shape[1]:
        raise InputError(
            f"{path}: {raw.x.shape[0]} samples of {raw.x.shape[1]} features; expected at least one"
        )
    return raw


def _read_csv(path: str, target: str) -> Raw:
    try:
        table = pd.read_csv(path)
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; expected a line of names, then rows") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path} cannot be read as .csv: {reason}") from None
    if target not in table.columns:
        raise InputError(f"{path} has no column {target!r}: {suggest(target, table.columns)}")
    features = table.drop(columns=target)
    columns = [_numbers(features[name], path) for name in features]
    x = np.column_stack(columns) if columns else np.empty((len(table), 0))
    return Raw(x, _csv_labels(table[target], path))


def _numbers(column: "pd.Series[float]", path: str) -> np.ndarray:
    """A feature column as float64; the first entry that is no finite number is named."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        came = column.iloc[bad[0]]
        what = "nothing (or NaN)" if pd.isna(came) else repr(came)
        raise InputError(
            f"{path}: column {column.name!r}, line {bad[0] + 2} holds {what}; expected a finite "
            "number: drop the row or the column, or encode it as numbers"
        )
    return values


def _csv_labels(column: "pd.Series[float]", path: str) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return _labels(_numbers(column, path), f"{path}: column {column.name!r}")
    missing = np.flatnonzero(column.isna())
    if missing.size:
        raise InputError(f"{path}: column {column.name!r}, line {missing[0] + 2} has no label")
    return np.unique(column.to_numpy(str), return_inverse=True)[1]


def _labels(values: np.ndarray, where: str) -> np.ndarray:
    """Whole numbers are classes and must be 0..K-1; anything else is a number to be predicted."""
    if np.any(values != np.round(values)):
        return values.astype(np.float64)
    found = np.unique(values)
    if not np.array_equal(found, np.arange(len(found))):
        wrong = next(v for i, v in enumerate(found) if v != i)
        raise InputError(
            f"{where} holds label {wrong:g}, but its {len(found)} different labels must be "
            f"0..{len(found) - 1}; renumber them (text labels are numbered for you in .csv)"
        )
    if len(found) == 1:
        raise InputError(f"{where} holds label 0 alone; expected at least two classes")
    return values.astype(np.int64)


def _read_npz(path: str, target: str) -> Raw:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read as .npz: {error or 'the file is cut short'}; expected plain "
            "arrays written by numpy.savez"
        ) from None
    if target not in arrays:
        raise InputError(f"{path} has no array {target!r}: {suggest(target, arrays)}")
    name, x, y = _pick(path, arrays, target)
    dev = _dev_names(arrays, name, target)
    if dev is None:
        return Raw(x, _labels(y, f"{path}: {target}"))
    x_dev, y_dev = (_finite(path, n, arrays[n]) for n in dev)
    y_dev = y_dev.reshape(-1)
    x_dev = _rows(path, dev[0], x_dev, len(y_dev))
    if x_dev.shape[1] != x.shape[1]:
        raise InputError(
            f"{path}: {dev[0]} has {x_dev.shape[1]} features, expected {x.shape[1]} as in {name}"
        )
    both = _labels(np.concatenate([y, y_dev]), f"{path}: {target}")
    return Raw(x, both[: len(y)], x_dev, both[len(y) :])


def _pick(
    path: str, arrays: dict[str, np.ndarray], target: str
) -> tuple[str, np.ndarray, np.ndarray]:
    """The target, and the one array that can hold its features, samples as rows."""
    y = _finite(path, target, arrays[target]).reshape(-1)
    fitting = [n for n, a in arrays.items() if n != target and a.ndim == 2 and len(y) in a.shape]
    if len(fitting) != 1:
        shapes = ", ".join(f"{n} {a.shape}" for n, a in arrays.items())
        raise InputError(
            f"{path}: expected one 2-D array with the {len(y)} samples of {target!r}, found "
            f"{len(fitting)} (the file holds {shapes}); keep one"
        )
    name = fitting[0]
    return name, _rows(path, name, _finite(path, name, arrays[name]), len(y)), y


def _rows(path: str, name: str, x: np.ndarray, m: int) -> np.ndarray:
    """Samples as rows; the course keeps them as columns."""
    if x.ndim != 2 or m not in x.shape:
        raise InputError(f"{path}: {name} has shape {x.shape}, expected ({m}, n) or (n, {m})")
    return x if x.shape[0] == m else x.T


def _dev_names(arrays: dict[str, np.ndarray], features: str, target: str) -> tuple[str, str] | None:
    """train_X, train_Y -> test_X, test_Y (or dev_, val_), where the file holds both."""
    for word in ("test", "dev", "val"):
        x, y = (re.sub("train", word, name) for name in (features, target))
        if x in arrays and y in arrays and (x, y) != (features, target):
            return x, y
    return None


def _finite(path: str, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: {name} is of type {array.dtype}, expected numbers")
    values = array.astype(np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise InputError(f"{path}: {name}{list(index)} is {values[index]}, expected finite numbers")
    return values
