"""The user's own .csv or .npz file, checked before its numbers are used."""

from pathlib import Path

from torch_parity.compare.data.raw import Raw
from torch_parity.compare.data.user_csv import read_csv
from torch_parity.compare.data.user_npz import read_npz
from torch_parity.compare.errors import InputError


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
        raise InputError(
            f"{path}: name the labels with --target (a column of a .csv, an array of an .npz)"
        )
    of_its_kind = read_csv if path.endswith(".csv") else read_npz
    raw = of_its_kind(path, target, squared_error)
    if not raw.x.size:
        raise InputError(
            f"{path}: {raw.x.shape[0]} samples of {raw.x.shape[1]} features; expected at least one"
        )
    return raw
