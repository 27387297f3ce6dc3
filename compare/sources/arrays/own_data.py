"""A batch of your own, as the data of a case."""

import re
from collections.abc import Mapping

import numpy as np

from torch_parity.compare.case import Case
from torch_parity.compare.choices import OF_NUMBERS
from torch_parity.compare.data import Data
from torch_parity.compare.errors import InputError
from torch_parity.compare.sources.arrays.layout import Layout

LOGISTIC = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


def own_data(
    case: Case, x: np.ndarray | None, y: np.ndarray | None, layout: Layout, classes: int
) -> Data:
    """x and y as one batch of rows; classes is how many the parameters have outputs for, 0 if they
    do not say.

    Raises:
        InputError: they do not fit one another or the case, or hold what cannot be used.
    """
    if x is None or y is None:
        raise InputError("give x and y together: one of them is missing")
    rows = layout.to_ours("x", np.asarray(x), 1).astype(case.dtype)
    if rows.ndim != 2 or not rows.size:
        raise InputError(
            f"x has shape {np.shape(x)}; expected two dimensions and at least one sample"
        )
    labels, shown = _labels(np.asarray(y), case, layout)
    if len(labels) != len(rows):
        raise InputError(f"x has {len(rows)} samples and y {len(labels)}; check the layout")
    if not np.isfinite(rows).all():
        raise InputError("x holds NaN or infinity; expected finite numbers")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise InputError("y holds NaN or infinity; expected finite numbers")
        return Data("yours", rows, labels, rows, labels, 0)
    highest = int(labels.max())
    if classes > 1 and highest >= classes:
        raise InputError(
            f"y holds class {highest}, but your parameters have {classes} outputs; expected "
            f"classes 0 to {classes - 1}"
        )
    return Data("yours", rows, labels, rows, labels, max(highest + 1, shown, classes, 2))


def classes_of(case: Case, params: Mapping[str, np.ndarray], layout: Layout) -> int:
    """How many outputs your parameters have; 0 where the last layer's are not among them."""
    last = [n for n in params if re.fullmatch(r"[Wb]\d+", n)]
    if case.model != "mlp" or not last:
        return 0
    found = next((n for n in last if int(n[1:]) == len(case.hidden) + 1), None)
    if found is None:
        return 0
    ours = layout.to_ours(found, np.asarray(params[found]), 1)
    return len(ours) if ours.ndim else 0


def _labels(y: np.ndarray, case: Case, layout: Layout) -> tuple[np.ndarray, int]:
    """(labels, the number of classes that their shape shows): class indices (m,), from indices,
    one-hot or a column; numbers for a loss of numbers, one for each output; 0 or 1 for each output
    of the logistic losses."""
    if y.dtype.kind not in "fiub":
        raise InputError(f"y is of type {y.dtype}; expected numbers")
    rows = layout.to_ours("y", y, 1) if y.ndim == 2 else y
    if rows.ndim == 2 and rows.shape[1] > 1:
        return _of_several_outputs(rows, case)
    flat = rows.reshape(-1)
    if case.loss in OF_NUMBERS and y.dtype.kind == "f":
        return flat.astype(case.dtype), 0
    if not np.isfinite(flat).all():
        at = int(np.flatnonzero(~np.isfinite(flat))[0])
        raise InputError(f"y holds {flat[at]} at [{at}]; expected finite numbers")
    if not (flat == np.round(flat)).all() or (flat < 0).any():
        raise InputError("y holds numbers that are not class indices; use loss mse_loss")
    return flat.astype(np.int64), 0


def _of_several_outputs(rows: np.ndarray, case: Case) -> tuple[np.ndarray, int]:
    """One-hot rows of three classes or more are classes whatever the loss. Two columns are two
    outputs where the loss is one that has a number for each output."""
    k = rows.shape[1]
    bits = bool(np.isin(rows, (0, 1)).all())
    one_hot = bits and bool((rows.sum(axis=1) == 1).all())
    by_output = case.loss in OF_NUMBERS or (case.loss in LOGISTIC and bits)
    if by_output and not (one_hot and k > 2):
        return rows.astype(case.dtype), 0
    if one_hot:
        return np.asarray(rows.argmax(axis=1)), k
    raise InputError("y has several columns that are not one-hot; expected a single 1 in each row")
