"""The data of a file or generator, before they are split and scaled."""

from dataclasses import dataclass

import numpy as np

from torch_parity.compare.errors import InputError


@dataclass(frozen=True)
class Raw:
    """Features (m, n), or images (m, c, h, w), and labels (m,): class indices of an integer type,
    or numbers (float). Sequences are whole numbers (m, t), with a label for each position (m, t);
    alphabet, where they are characters, has the one that each number stands for.
    """

    x: np.ndarray
    labels: np.ndarray
    x_dev: np.ndarray | None = None
    labels_dev: np.ndarray | None = None
    alphabet: str = ""


def whole_or_real(values: np.ndarray, where: str, squared_error: bool = False) -> np.ndarray:
    """Whole numbers are classes and must be 0..K-1; other numbers are targets to predict. With
    squared_error, whole numbers that are not 0..K-1 are targets to predict as well.

    Raises:
        InputError: fewer than two different values, or whole numbers that are not 0..K-1.
    """
    found = np.unique(values)
    if len(found) == 1:
        raise InputError(
            f"{where} holds only the label {found[0]:g}; expected at least two different labels"
        )
    if np.any(values != np.round(values)):
        return values.astype(np.float64)
    if not np.array_equal(found, np.arange(len(found))):
        if squared_error:
            return values.astype(np.float64)
        wrong = next(v for v in found if not 0 <= v < len(found))
        raise InputError(
            f"{where} holds label {wrong:g}, but its {len(found)} different labels must be "
            f"0..{len(found) - 1}; renumber them, write them as text in a "
            ".csv, or use --loss mse_loss if they are numbers to predict"
        )
    return values.astype(np.int64)
