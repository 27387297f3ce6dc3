"""The ways to write the same numbers: samples in rows or columns, W as (out, in) or (in, out), 1/m
in dz or in dW. A Layout converts arrays between them; none of these differences is a mistake.

Our layout is torch's: samples are rows, W is (out, in), b is a vector, 1/m is in the loss and
therefore in dz. The course has samples in columns, b as a column, and 1/m in dW and db.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from torch_parity.compare.errors import InputError, shown, suggest

SAMPLES = re.compile(r"(d?x|y|[zah]\d+(_softmax|_sigmoid)?|d[zah]\d+|mask\d+)")
SCALED = re.compile(r"d[zah]\d+|dx")
WEIGHTS = re.compile(r"d?[vs]?W\d+(_loss)?")
VELOCITY = re.compile(r"v[Wb]\d+")
BIASES = re.compile(r"d?[vs]?b\d+")


class Layout(BaseModel):
    """samples: one per row or per column. weights: W as (out, in) or as (in, out). biases: (n,),
    (1, n) or (n, 1). mean: the factor 1/m of the mean is in dz (as in the derivative of the loss),
    or in dW and db, so that dz, da and dh are m times ours. momentum: v adds up gradients, and
    W = W - lr * v; or it holds the step itself, v = momentum * v - lr * dW and W = W + v (steps),
    or v = momentum * v + lr * dW and W = W - v (negative_steps)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # a type checker knows the fields

        def __init__(self, **chosen: Any) -> None:
            try:
                super().__init__(**chosen)
            except ValidationError as error:
                raise InputError(_refused(error)) from None

    samples: Literal["rows", "columns"] = "rows"
    weights: Literal["out_in", "in_out"] = "out_in"
    biases: Literal["vector", "row", "column"] = "vector"
    mean: Literal["dz", "dW"] = "dz"
    momentum: Literal["gradients", "steps", "negative_steps"] = "gradients"

    def velocity(self, lr: float) -> float:
        """What v is times, so that it is torch's in this layout."""
        return {"gradients": 1.0, "steps": -lr, "negative_steps": lr}[self.momentum]

    def to_ours(self, name: str, theirs: np.ndarray, m: int) -> np.ndarray:
        """The array in our layout; an array whose shape does not fit this layout stays as it is.

        A single output unit may have shape (m,), and a single number (1, 1).
        """
        array = theirs
        if SAMPLES.fullmatch(name):
            array = array.reshape(-1, 1) if array.ndim == 1 and name[0] not in "xy" else array
            array = array.T if self.samples == "columns" and theirs.ndim == 2 else array
            array = array / m if self.mean == "dW" and SCALED.fullmatch(name) else array
        elif WEIGHTS.fullmatch(name):
            array = array.T if self.weights == "in_out" else array
        elif BIASES.fullmatch(name):
            flat = {"row": 0, "column": 1}.get(self.biases)
            fits = array.ndim == 2 and flat is not None and array.shape[flat] == 1
            array = array.reshape(-1) if fits or array.size == 1 else array
        elif array.size == 1:
            array = array.reshape(())
        return array.astype(theirs.dtype, copy=False)

    def to_theirs(self, name: str, ours: np.ndarray) -> np.ndarray:
        """A given array of ours (x, y, parameters, masks, state) in this layout."""
        if SAMPLES.fullmatch(name) and self.samples == "columns":
            return ours.T
        if WEIGHTS.fullmatch(name) and self.weights == "in_out":
            return ours.T
        if BIASES.fullmatch(name) and ours.ndim == 1:
            return {"row": ours[None], "column": ours[:, None]}.get(self.biases, ours)
        return ours


COURSE = Layout(samples="columns", biases="column", mean="dW")


def recognise(
    theirs: Mapping[str, np.ndarray], ours: Mapping[str, np.ndarray], m: int, declared: Layout
) -> Layout:
    """The layout that fits the shapes of all given arrays; the declared one where they do not tell.

    A convention holds for all arrays of a kind or for none. A square array fits either way, so it
    follows the others of its kind: if its numbers are transposed and theirs are not, that is a
    mistake.
    """
    pairs = {n: (theirs[n], ours[n]) for n in theirs if n in ours}
    return Layout.model_validate(
        {
            "samples": _turned(pairs, SAMPLES, declared.samples, "rows", "columns"),
            "weights": _turned(pairs, WEIGHTS, declared.weights, "out_in", "in_out"),
            "biases": _biases(pairs, declared.biases),
            "mean": _mean(pairs, m, declared),
            "momentum": declared.momentum,
        }
    )


def _turned(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    kind: re.Pattern[str],
    declared: str,
    plain: str,
    turned: str,
) -> str:
    """The orientation that all shapes of the kind have; else the declared one."""
    seen = set()
    for name, (theirs, ours) in pairs.items():
        rows, columns = ours.shape if ours.ndim == 2 else (0, 0)
        if kind.fullmatch(name) and theirs.ndim == 2 and rows != columns:
            seen |= {plain} if theirs.shape == (rows, columns) else set()
            seen |= {turned} if theirs.shape == (columns, rows) else set()
    return seen.pop() if len(seen) == 1 else declared


def distance(theirs: np.ndarray, ours: np.ndarray) -> float:
    """The distance of the two after scaling, in the closer orientation; infinite where the shapes
    do not fit."""
    ways = (a for a in (theirs, theirs.T) if a.shape == ours.shape)
    return min((_apart(a, ours) for a in ways), default=float("inf"))


def _apart(theirs: np.ndarray, ours: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        a, b = (x.astype(np.float64) / (np.abs(x).max(initial=0) or 1) for x in (theirs, ours))
        return float(np.nan_to_num(np.abs(a - b), nan=1.0).sum())


def _biases(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], declared: str) -> str:
    """The form that all biases have; else the declared one."""
    seen = set()
    for name, (theirs, ours) in pairs.items():
        if BIASES.fullmatch(name) and ours.ndim == 1 and ours.size > 1:
            shapes = {"vector": (ours.size,), "row": (1, ours.size), "column": (ours.size, 1)}
            seen |= {form for form, shape in shapes.items() if theirs.shape == shape}
    return seen.pop() if len(seen) == 1 else declared


def _mean(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], m: int, declared: Layout) -> str:
    """Whether dz of the last layer is m times what dW and db are: then 1/m is in dW and db."""
    last = max((int(n[2:]) for n in pairs if re.fullmatch(r"dz\d+", n)), default=0)
    factor = {name: _factor(*pairs[name]) for name in pairs if name[0] == "d"}
    of_dz = factor.get(f"dz{last}")
    rest = [f for n in (f"db{last}", f"dW{last}_loss", f"dW{last}") if (f := factor.get(n))]
    if m < 2 or of_dz is None or not rest:
        return declared.mean
    if _near(of_dz, 1):
        return "dz"
    # dW may hold a penalty; a loss that is not divided by the number of outputs makes all of them
    # greater by the same factor
    one_is_right = any(_near(f, 1) for f in rest) or not any(_near(f, m) for f in rest)
    if (_near(of_dz, m) and one_is_right) or all(_near(of_dz / f, m) for f in rest):
        return "dW"
    return declared.mean


def with_other_mean(
    layout: Layout, theirs: Mapping[str, np.ndarray], ours: Mapping[str, np.ndarray], m: int
) -> Layout | None:
    """The layout with 1/m in the other place, if some dz, da or dh is larger or smaller by m."""
    factors = (
        _factor(layout.to_ours(n, a, m), ours[n])
        for n, a in theirs.items()
        if SCALED.fullmatch(n) and n in ours
    )
    expected = m if layout.mean == "dz" else 1 / m
    if m < 2 or not any(f is not None and _near(f, expected) for f in factors):
        return None
    return layout.model_copy(update={"mean": "dW" if layout.mean == "dz" else "dz"})


def _near(factor: float, expected: float) -> bool:
    return abs(factor / expected - 1) < 0.01


def _factor(theirs: np.ndarray, ours: np.ndarray) -> float | None:
    """The ratio of the two norms, which do not depend on the orientation."""
    size = float(np.linalg.norm(ours))
    return float(np.linalg.norm(theirs)) / size if size else None


def _refused(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"Layout has no field {name!r}: {suggest(name, Layout.model_fields)}"
    expected = first["msg"].removeprefix("Input should be ")
    return f"Layout: {name} is {shown(first['input'])}; expected {expected}"


def require_layout(layout: object) -> None:
    """Raise InputError unless it is a Layout."""
    if layout is not None and not isinstance(layout, Layout):
        raise InputError(
            f"layout is {shown(layout)}; expected a Layout, such as COURSE or "
            "Layout(samples='columns')"
        )


def explain(layout: Layout, declared: Layout) -> Iterator[str]:
    """A line for each recognised convention that was not declared, with the conversion."""
    lines = {
        "samples": {
            "columns": "samples are columns: z = yours.T",
            "rows": "samples are rows, not columns: z = yours",
        },
        "weights": {
            "in_out": "weights are (in, out): W = yours.T",
            "out_in": "weights are (out, in): W = yours",
        },
        "biases": {
            "column": "biases are columns: b = yours[:, 0]",
            "row": "biases are rows of a matrix: b = yours[0]",
            "vector": "biases are vectors: b = yours",
        },
        "mean": {
            "dW": "1/m is in dW and db, not in dz: dz = yours / m",
            "dz": "1/m is in dz already: dz = yours",
        },
        "momentum": {
            "gradients": "v adds up gradients, W = W - lr * v: v = yours",
            "steps": "v holds the step, W = W + v: v = -yours / lr",
            "negative_steps": "v holds the step, W = W - v: v = yours / lr",
        },
    }
    for field, sentences in lines.items():
        found = getattr(layout, field)
        if found != getattr(declared, field):
            yield f"{sentences[found]}    (declare it: Layout({field}={found!r}))"
