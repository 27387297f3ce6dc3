"""The start of a step, for your own code to compute the same step: data, parameters, masks and
optimizer state of a case, or your own arrays, in your layout."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.arrays.layout import Layout
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.compare.tensors import to_torch
from torch_parity.torch_ref.ops.dropout import FixedDropout


@dataclass(frozen=True)
class Given(Mapping[str, np.ndarray]):
    """A mapping of x, y, W1, b1, mask1, vW1... to arrays, copies in the requested layout.

    recorded is the step as our two sides computed it, to compare yours with. conventions lists how
    your data differed from our layout; they were converted.
    """

    case: Case
    recorded: Recorded
    layout: Layout
    conventions: tuple[str, ...] = ()
    arrays: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        names = (n for n in self.recorded.start if not n.startswith("previous_"))
        theirs = {n: self.layout.to_theirs(n, self.recorded.start[n]).copy() for n in names}
        object.__setattr__(self, "arrays", theirs)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise KeyError(f"{name!r} is not given: {suggest(name, self.arrays)}")
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def m(self) -> int:
        """The number of samples in the batch."""
        return len(self.recorded.start["x"])


def given(
    case: Case,
    *,
    x: np.ndarray | None = None,
    y: np.ndarray | None = None,
    params: Mapping[str, np.ndarray] | None = None,
    masks: Mapping[str, np.ndarray] | None = None,
    layout: Layout | None = None,
    step: int | None = None,
) -> Given:
    """The start of the given step of a case.

    Without x and y, it is the case's first batch. Your own x and y are one whole batch, in your
    layout: y as class indices, one-hot, or a column of 0 and 1 (numbers for mse_loss). params
    replaces any of W1, b1..., masks any of mask1... (0 or 1/(1-p)). step counts from 1; the default
    is 3, because step 1 hides mistakes in momentum and Adam's t, or 1 if you give params.

    Raises:
        InputError: arrays that do not fit the case or one another.
    """
    layout = layout or Layout()
    if step is not None and step < 1:
        raise InputError(f"step is {step}; expected 1 or more")
    loaded = data.load(case) if x is None and y is None else _yours(case, x, y, layout)
    batch = case.batch if x is None else len(loaded.x_train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        built = pair.build(case, loaded)
        if params:
            built = _with_params(built, _ours(params, built.params, layout, "parameter"))
        if masks:
            _fix_masks(built, masks, layout, (batch, case))
        steps = step or (1 if params else 3)
        try:
            recorded = record(
                built, loaded.x_train[:batch], built.targets.y_train[:batch], count=steps
            )[-1]
        except ArithmeticError:
            raise InputError("the step gives NaN or infinity; try a smaller lr or scale") from None
    return Given(case, recorded, layout, tuple(_conventions(y, recorded.start["y"], layout)))


def _conventions(theirs: np.ndarray | None, ours: np.ndarray, layout: Layout) -> Iterator[str]:
    """How the labels were converted, if the loss needs another form."""
    if theirs is None:
        return
    many = np.ndim(theirs) == 2 and layout.to_ours("y", np.asarray(theirs), 1).shape[1] > 1
    if many and ours.ndim == 1:
        yield "y is one-hot, the loss takes class indices: y = yours.argmax(axis=1)"
    elif not many and ours.ndim == 2 and ours.shape[1] > 1:
        yield "y holds class indices, the loss takes one-hot rows: y = np.eye(classes)[yours]"
    elif np.ndim(theirs) == 1 and ours.ndim == 2:
        yield "y is (m,), the output (m, 1): y = yours[:, None]"


def _yours(case: Case, x: np.ndarray | None, y: np.ndarray | None, layout: Layout) -> Data:
    if x is None or y is None:
        raise InputError("give x and y together: one of them is missing")
    rows = layout.to_ours("x", np.asarray(x), 1).astype(case.dtype)
    if rows.ndim != 2 or not rows.size:
        raise InputError(
            f"x has shape {np.shape(x)}; expected two dimensions and at least one sample"
        )
    labels = _labels(np.asarray(y), len(rows), case, layout)
    if len(labels) != len(rows):
        raise InputError(f"x has {len(rows)} samples and y {len(labels)}; check the layout")
    if not np.isfinite(rows).all():
        raise InputError("x holds NaN or infinity; expected finite numbers")
    classes = 0 if labels.dtype.kind == "f" else max(int(labels.max()) + 1, 2)
    return Data("yours", rows, labels, rows, labels, classes)


def _labels(y: np.ndarray, m: int, case: Case, layout: Layout) -> np.ndarray:
    """Class indices (m,), from indices, one-hot or a column; numbers for mse_loss of one unit."""
    if y.dtype.kind not in "fiub":
        raise InputError(f"y is of type {y.dtype}; expected numbers")
    rows = layout.to_ours("y", y, 1) if y.ndim == 2 else y
    if rows.ndim == 2 and rows.shape[1] > 1:
        if not (np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()):
            raise InputError(
                "y has several columns that are not one-hot; expected a single 1 in each row"
            )
        return np.asarray(rows.argmax(axis=1))
    flat = rows.reshape(-1)
    if case.loss == "mse_loss" and y.dtype.kind == "f":
        return flat.astype(case.dtype)
    if not (flat == np.round(flat)).all() or (flat < 0).any():
        raise InputError("y holds numbers that are not class indices; use loss mse_loss")
    return flat.astype(np.int64)


def _ours(
    theirs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    layout: Layout,
    what: str,
) -> dict[str, np.ndarray]:
    found = {}
    for name, array in theirs.items():
        if name not in expected:
            raise InputError(f"there is no {what} {name!r}: {suggest(name, expected)}")
        ours = layout.to_ours(name, np.asarray(array), 1)
        if ours.shape != expected[name].shape:
            shape = layout.to_theirs(name, expected[name]).shape
            raise InputError(f"{name} has shape {np.shape(array)}; expected {shape}")
        found[name] = ours.astype(expected[name].dtype)
    return found


def _with_params(built: pair.Pair, params: Mapping[str, np.ndarray]) -> pair.Pair:
    with torch.no_grad():
        for name, p in built.torch.net.named_tensors().items():
            if name in params:
                p.copy_(to_torch(params[name]))
    return replace(built, params={**built.params, **params})


def _fix_masks(
    built: pair.Pair, masks: Mapping[str, np.ndarray], layout: Layout, of: tuple[int, Case]
) -> None:
    batch, case = of
    shapes = {
        f"mask{k}": np.empty((batch, width), case.dtype)
        for k, width in enumerate(case.hidden, start=1)
    }
    for name, mask in _ours(masks, shapes, layout, "mask").items():
        fixed = FixedDropout(to_torch(mask, built.torch.device))
        setattr(built.torch.net, "h" + name.removeprefix("mask"), fixed)
