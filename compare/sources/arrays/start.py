"""The start of a step, for your own code to compute the same step: data, parameters, masks and
optimizer state of a case, or your own arrays, in your layout."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from torch_parity.compare import data
from torch_parity.compare.bounds.precision import precision, widened
from torch_parity.compare.case import Case
from torch_parity.compare.errors import InputError, shown, suggest
from torch_parity.compare.judge.replayed import numeric
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.arrays.layout import VELOCITY, Layout, require_layout
from torch_parity.compare.sources.arrays.own_data import classes_of, own_data
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.compare.tensors import to_torch
from torch_parity.torch_ref.ops.dropout import FixedDropout


@dataclass(frozen=True, repr=False)
class Given(Mapping[str, np.ndarray]):
    """A mapping of x, y, W1, b1, mask1, vW1... to arrays, copies in the requested layout, and of
    m_train to the number of training samples, the m that lambda is divided by.

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
        step = self.layout.velocity(self.case.lr)
        theirs |= {
            n: (a * step).astype(a.dtype) for n, a in theirs.items() if VELOCITY.fullmatch(n)
        }
        # an integer array would make l2 / m_train, and with it dW, float64
        count = np.int64 if self.case.dtype == "float64" else np.float32
        theirs["m_train"] = np.asarray(self.m_train, count)
        object.__setattr__(self, "arrays", theirs)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise KeyError(f"{name!r} is not given: {suggest(name, self.arrays)}")
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        """The shapes, not the numbers."""
        shapes = ", ".join(f"{name} {a.shape}" for name, a in self.arrays.items())
        return f"<Given: {shapes}; of {self.case!r}>"

    @property
    def m(self) -> int:
        """The number of samples in the batch."""
        return len(self.recorded.start["x"])

    @property
    def m_train(self) -> int:
        """The number of samples in the training set: the m of lambda / (2m)."""
        return len(self.recorded.pair.targets.y_train)


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
    layout: y as class indices, one-hot, or a column of 0 and 1; any numbers for mse_loss, and 0 or
    1 for each output for the logistic losses. params replaces any of W1, b1..., masks any of
    mask1... (0 or 1/(1-p)). step counts from 1; the default is 3, because step 1 hides mistakes in
    momentum and Adam's t, or 1 if you give params.

    Raises:
        InputError: case is not a Case, or arrays do not fit it or one another.
    """
    if not isinstance(case, Case):
        raise InputError(f"case is {shown(case)}; expected a Case, as  Case(data='moons')")
    require_layout(layout)
    layout = layout or Layout()
    if step is not None and step < 1:
        raise InputError(f"step is {step}; expected 1 or more")
    loaded = (
        data.load(case)
        if x is None and y is None
        else own_data(case, x, y, layout, classes_of(case, params or {}, layout))
    )
    if case.accumulate > 1:
        raise InputError(
            f"accumulate is {case.accumulate}: your arrays are judged as one batch, so leave it out"
        )
    batch = case.batch if x is None else len(loaded.x_train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        built = pair.build(case, loaded)
        if params:
            own = _ours(params, built.params, layout, "parameter")
            _require_finite(own, params)
            built = _with_params(built, own)
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
        kind = np.asarray(array).dtype
        if not numeric(np.asarray(array)) and kind.kind != "b":  # a mask before it is scaled
            raise InputError(f"{name} holds {kind}, expected real numbers")
        ours = layout.to_ours(name, np.asarray(array), 1)
        if ours.shape != expected[name].shape:
            shape = layout.to_theirs(name, expected[name]).shape
            raise InputError(f"{name} has shape {np.shape(array)}; expected {shape}")
        with np.errstate(over="ignore"):
            found[name] = ours.astype(expected[name].dtype)
    return found


def _require_finite(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> None:
    """Refuse the first parameter that is nan or infinite, or becomes so in the case's precision."""
    for name, array in ours.items():
        if np.isfinite(widened(array)).all():
            continue
        with np.errstate(over="ignore"):
            kept = widened(np.asarray(theirs[name]).astype(array.dtype))
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(kept))[0])
        number = float(np.asarray(theirs[name])[index])
        raise InputError(
            f"params: {name} holds {number:g} at {list(index)}; expected finite numbers of "
            f"{array.dtype}"
        )


def _with_params(built: pair.Pair, params: Mapping[str, np.ndarray]) -> pair.Pair:
    with torch.no_grad():
        for name, p in built.torch.parameters.items():
            if name in params:
                p.copy_(to_torch(params[name]))
    return replace(built, params={**built.params, **params})


def _fix_masks(
    built: pair.Pair, masks: Mapping[str, np.ndarray], layout: Layout, of: tuple[int, Case]
) -> None:
    batch, case = of
    expected = {
        name: np.empty(shape, case.dtype)
        for name, shape in built.manual.net.shapes_of_masks(batch).items()
    }
    paths = {name: path for path, name in built.torch.task.names.masks.items()}
    for name, mask in _ours(masks, expected, layout, "mask").items():
        _require_dropout_mask(name, mask, case)
        fixed = FixedDropout(to_torch(mask, built.torch.device))
        built.torch.net.set_submodule(paths[name], fixed)


def _require_dropout_mask(name: str, mask: np.ndarray, case: Case) -> None:
    """Of a mask of your own: each entry drops its unit, or scales it by 1/(1-p).

    1/(1-p) may be computed as 1/keep_prob, in the mask's precision: 1 - p and the division round
    once each, and p itself is rounded.

    Raises:
        InputError: another number. Judged with it, dropout without its scale would pass.
    """
    scale = 1 / (1 - case.p)
    error = (2 + case.p * scale) * precision(mask.dtype).eps * scale
    numbers = widened(mask).astype(np.float64)
    other = ~((numbers == 0) | (np.abs(numbers - scale) <= error))
    if case.p == 0:
        other = numbers != 1
    if not other.any():
        return
    index = tuple(int(i) for i in np.argwhere(other)[0])
    expected = f"0 or 1/(1-p) = {scale:.9g}" if case.p else "1 everywhere, because the case has p=0"
    raise InputError(
        f"{name} holds {numbers[index]:.9g} at {list(index)}; expected {expected}: divide a mask "
        "of 0 and 1 by 1 - p, and give the case the p that it was drawn with"
    )
