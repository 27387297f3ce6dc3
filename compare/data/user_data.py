"""The user's own .csv or .npz file, checked before its numbers are used."""

from pathlib import Path

from torch_parity.compare.data.raw import Raw
from torch_parity.compare.data.user_csv import column_names, read_csv
from torch_parity.compare.data.user_npz import array_names, read_npz
from torch_parity.compare.errors import InputError

MOST = 40  # names in a message


def read(path: str, target: str | None, squared_error: bool = False) -> Raw:
    """Features and labels of a .csv or .npz file.

    With squared_error, labels may be numbers to predict even if they are whole.

    Raises:
        InputError: no target is named or found, the file is missing, empty or in another format,
            a feature is text, NaN or infinite, or a label is out of range.
    """
    if not Path(path).is_file():
        what = "is a folder" if Path(path).is_dir() else "no such file"
        raise InputError(f"{path}: {what}; give the path of a .csv or .npz file")
    if target is None:
        what, names = _named(path)
        listed = ", ".join(names[:MOST]) + (", ..." if names[MOST:] else "")
        raise InputError(f"{path}: name the labels with --target, one of its {what}: {listed}")
    of_its_kind = read_csv if path.endswith(".csv") else read_npz
    raw = of_its_kind(path, target, squared_error)
    if not raw.x.size:
        raise InputError(
            f"{path}: {raw.x.shape[0]} samples of {raw.x.shape[1]} features; expected at least one"
        )
    return raw


def _named(path: str) -> tuple[str, list[str]]:
    """What a file's parts are, and their names."""
    return (
        ("columns", column_names(path)) if path.endswith(".csv") else ("arrays", array_names(path))
    )
