"""The user's own .csv: a line of names, then rows; every error names the column and the line."""

import csv
import math
from pathlib import Path

import numpy as np

from torch_parity.compare.data.raw import Raw, whole_or_real
from torch_parity.compare.errors import InputError, suggest

MISSING = ("", "na", "nan", "n/a", "null", "none")

Row = tuple[int, list[str]]  # the line that an editor shows, and the entries


def read_csv(path: str, target: str, squared_error: bool) -> Raw:
    """Every column but the target is a feature; text labels are numbered in alphabetical order.

    Raises:
        InputError: no such target, a row of another length, an entry that is not a finite number.
    """
    names, rows = _read(path)
    if names.count(target) != 1:
        found = f"{names.count(target)} columns" if target in names else "no column"
        hint = "keep one" if target in names else suggest(target, names)
        if all(_parse(name) is not None for name in names):
            hint = "its first line holds numbers; put the names of the columns there"
        raise InputError(f"{path} has {found} {target!r}: {hint}")
    at = names.index(target)
    features = [i for i in range(len(names)) if i != at]
    x = np.array([[_number(path, names[i], row, i) for i in features] for row in rows])
    labels = _labels(path, target, rows, at, squared_error) if rows else np.empty(0, np.int64)
    return Raw(x.reshape(len(rows), len(features)), labels)


def column_names(path: str) -> list[str]:
    """The names in its first line.

    Raises:
        InputError: it cannot be read.
    """
    return _read(path)[0]


def _read(path: str) -> tuple[list[str], list[Row]]:
    rows: list[Row] = []
    line = 0
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                line = reader.line_num
                if any(entry.strip() for entry in row):
                    rows.append((line, row))
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        hint = "; expected UTF-8 text" if isinstance(error, UnicodeDecodeError) else ""
        raise InputError(f"{path} cannot be read as .csv: line {line + 1}: {error}{hint}") from None
    if not rows:
        raise InputError(f"{path} is empty; expected a line of names, then rows")
    names = [name.strip() for name in rows[0][1]]
    for line, row in rows[1:]:
        if len(row) > len(names):
            by = "; is ';' its separator? expected commas" if ";" in names[0] else ""
            raise InputError(
                f"{path} cannot be read as .csv: line {line} has {len(row)} entries, expected "
                f"{len(names)} as in its first line{by}"
            )
    return names, rows[1:]


def _number(path: str, name: str, row: Row, i: int) -> float:
    entry = _entry(row, i)
    truth = {"true": 1.0, "false": 0.0}.get(entry.lower())
    value = _parse(entry) if truth is None else truth
    if value is None or not math.isfinite(value):
        what = "no value" if entry.lower() in MISSING else repr(entry)
        raise InputError(
            f"{path}: column {name!r}, line {row[0]} holds {what}; expected a finite number: drop "
            "the row or the column, or encode it as numbers"
        )
    return value


def _parse(entry: str) -> float | None:
    """As a spreadsheet reads it: 1_000, which Python would accept, is not a number."""
    try:
        return None if "_" in entry else float(entry)
    except ValueError:
        return None


def _entry(row: Row, i: int) -> str:
    """Entry i of a row; empty if the row is shorter."""
    return row[1][i].strip() if i < len(row[1]) else ""


def _labels(path: str, target: str, rows: list[Row], at: int, squared_error: bool) -> np.ndarray:
    entries = [_entry(row, at) for row in rows]
    where = f"{path}: column {target!r}"
    missing = next((row[0] for row, e in zip(rows, entries, strict=True) if _missing(e)), None)
    if missing is not None:
        raise InputError(f"{where}, line {missing} has no label")
    values = [_parse(e) for e in entries]
    if all(v is not None for v in values) or any(
        not v.is_integer() for v in values if v is not None
    ):
        numbers = np.array([_number(path, target, r, at) for r in rows])
        return whole_or_real(numbers, where, squared_error)
    names, numbered = np.unique(entries, return_inverse=True)
    if len(names) == 1:
        raise InputError(f"{where} holds only {entries[0]!r}; expected at least two classes")
    return numbered


def _missing(entry: str) -> bool:
    return entry.lower() in MISSING
