"""Data sets: scikit-learn's, generated ones, and the user's own file, all as one record."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from torch_parity.compare.case import Case
from torch_parity.compare.choices import OF_NUMBERS, outputs_of
from torch_parity.compare.data.drawn import circles, flower, moons
from torch_parity.compare.data.preparation import standardized, train_and_dev
from torch_parity.compare.data.raw import Raw
from torch_parity.compare.data.text import read_text, sums
from torch_parity.compare.data.user_data import read
from torch_parity.compare.errors import InputError, suggest
from torch_parity.manual.models.step import OF_CLASSES


@dataclass(frozen=True)
class Data:
    """Rows are samples; sequences are rows of whole numbers, with a row of labels each. labels
    are class indices 0..classes-1, or numbers where classes is 0: one for each sample, or a row of
    them with one for each output.

    If the samples are images, image is (c, h, w), the shape that a row had, and images_dev holds
    those of the dev set before scaling, each as [h, w] or [h, w, 3].

    If they are text, alphabet holds the character that each number stands for.
    """

    name: str
    x_train: np.ndarray
    labels_train: np.ndarray
    x_dev: np.ndarray
    labels_dev: np.ndarray
    classes: int
    images_dev: np.ndarray | None = None
    image: tuple[int, ...] | None = None
    alphabet: str = ""


@dataclass(frozen=True)
class Targets:
    """The labels in the shape that the loss needs, and the width of the output layer."""

    loss: str
    output: str
    n_out: int
    y_train: np.ndarray
    y_dev: np.ndarray


def _digits(case: Case) -> Raw:
    """scikit-learn's, out of its file: importing it takes longer than a short check."""
    package = find_spec("sklearn")
    assert package is not None, "scikit-learn is installed with torch-parity"
    folder = Path((package.submodule_search_locations or [""])[0])
    numbers = np.loadtxt(folder / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return Raw(numbers[:, :-1].reshape(-1, 1, 8, 8), numbers[:, -1].astype(int))


def _breast_cancer(case: Case) -> Raw:
    from sklearn.datasets import load_breast_cancer

    return Raw(*load_breast_cancer(return_X_y=True))


def _drawn(draw: Callable[..., Raw], noise: float) -> Callable[[Case], Raw]:
    return lambda case: draw(
        case.samples,
        noise if case.noise is None else case.noise,
        np.random.default_rng(case.seed),
    )


SETS: dict[str, Callable[[Case], Raw]] = {
    "digits": _digits,
    "breast-cancer": _breast_cancer,
    "moons": _drawn(moons, noise=0.2),
    "circles": _drawn(circles, noise=0.1),
    "flower": _drawn(flower, noise=0.2),
    "sums": lambda case: sums(case.samples, case.length, np.random.default_rng(case.seed)),
}


FILES = (".csv", ".npz")


def load(case: Case) -> Data:
    """The case's data, split, scaled and in the case's dtype.

    Raises:
        InputError: an unknown name, or a file that cannot be used (see compare/data/user_data.py).
    """
    if case.data in SETS:
        if case.target is not None:
            raise InputError(
                f"target is {case.target!r}, but {case.data} has its own labels; leave --target out"
            )
        return _prepare(SETS[case.data](case), case)
    if case.data.endswith(".txt"):
        return _prepare(read_text(case.data, case.length), case)
    if case.data.endswith(FILES):
        return _prepare(read(case.data, case.target, case.loss in OF_NUMBERS), case)
    if Path(case.data).is_file():
        raise InputError(f"{case.data}: expected a file whose name ends in .csv, .npz or .txt")
    raise InputError(
        f"data is {case.data!r}: {suggest(case.data, SETS)} (or a path that ends in .csv, .npz "
        "or .txt)"
    )


def targets(case: Case, data: Data) -> Targets:
    """The loss that `auto` stands for, and the labels in the shape it needs.

    cross_entropy and multi_margin_loss: class indices (m,); every other loss: numbers (m, n_out),
    where two classes are one column of 0 and 1 and more are one-hot.

    Raises:
        InputError: a loss for classes on targets that are numbers, or another one on sequences.
    """
    sequences = data.x_train.dtype.kind == "i"
    by_classes = {0: "mse_loss", 2: "cross_entropy" if sequences else "binary_cross_entropy"}
    loss = by_classes.get(data.classes, "cross_entropy") if case.loss == "auto" else case.loss
    several = data.labels_train.ndim == 2
    fits = loss in OF_NUMBERS or (several and loss not in OF_CLASSES)
    if data.classes == 0 and not fits:
        raise InputError(
            f"loss is {loss}, but the target of {data.name} holds numbers, not classes; "
            "use --loss mse_loss"
        )
    if sequences and loss != "cross_entropy":
        raise InputError(
            f"loss is {loss}, but the labels of {data.name} are those of sequences; use --loss "
            "cross_entropy"
        )
    halves = case.dtype in ("bfloat16", "float16")
    if loss == "multi_margin_loss" and halves and case.device == "cpu":
        raise InputError(
            f"loss is multi_margin_loss, in {case.dtype}: torch has none for the CPU; use "
            "cross_entropy, or --dtype float32"
        )
    if loss == "binary_cross_entropy" and case.dtype == "float16":
        raise InputError(
            "loss is binary_cross_entropy, in float16: what keeps torch from dividing by 0 in its "
            "slope, 1e-12, is 0 itself there; use --loss binary_cross_entropy_with_logits"
        )
    output = _output(case, data, loss)
    if loss in OF_CLASSES:
        return Targets(loss, output, data.classes, data.labels_train, data.labels_dev)
    if several:
        n_out = data.labels_train.shape[1]
        return Targets(loss, output, n_out, data.labels_train, data.labels_dev)
    if output == "softmax" and data.classes == 2:
        raise InputError("output is softmax, but two classes have one output unit; use sigmoid")
    n_out = {0: 1, 2: 1}.get(data.classes, data.classes)
    encode = (lambda y: y[:, None]) if n_out == 1 else (lambda y: np.eye(n_out)[y])
    y_train, y_dev = (encode(y).astype(case.dtype) for y in (data.labels_train, data.labels_dev))
    return Targets(loss, output, n_out, y_train, y_dev)


def _output(case: Case, data: Data, loss: str) -> str:
    if case.output == "auto":
        bits = loss in OF_NUMBERS and data.classes > 0
        return "sigmoid" if bits else outputs_of(loss)[0]
    if case.output not in outputs_of(loss):
        fitting = " or ".join(outputs_of(loss))
        raise InputError(f"output {case.output} does not fit loss {loss}: use {fitting}")
    return case.output


def _prepare(raw: Raw, case: Case) -> Data:
    classes = 0 if raw.labels.dtype.kind == "f" else int(raw.labels.max()) + 1
    x_train, y_train, x_dev, y_dev = _split(raw, case, classes)
    for split, y in (("train", y_train), ("dev", y_dev)):
        if classes == 0 and y.min() == y.max():
            raise InputError(
                f"{case.data}: all targets in {split} are equal, so R2 is not defined; give more "
                "samples or another --dev-fraction"
            )
    if raw.x.dtype.kind == "i":
        classes = len(raw.alphabet) or max(classes, int(raw.x.max()) + 1)
        return Data(case.data, x_train, y_train, x_dev, y_dev, classes, alphabet=raw.alphabet)
    images, image = None, None
    if raw.x.ndim == 4:
        image, images = raw.x.shape[1:], _drawable(x_dev)
        x_train, x_dev = (x.reshape(len(x), -1) for x in (x_train, x_dev))
    with np.errstate(over="ignore", invalid="ignore"):
        x_train, y_train, x_dev, y_dev = _scale(case, classes, x_train, y_train, x_dev, y_dev)
    return Data(case.data, x_train, y_train, x_dev, y_dev, classes, images, image)


def _drawable(x: np.ndarray) -> np.ndarray:
    """[m, c, h, w] -> [m, h, w], or [m, h, w, 3] from 0 to 1 of three channels"""
    if x.shape[1] != 3:
        return x[:, 0]
    low, high = x.min(), x.max()
    return (x.transpose(0, 2, 3, 1) - low) / max(high - low, 1e-300)


def _scale(
    case: Case,
    classes: int,
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_dev: np.ndarray,
    y_dev: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features (and targets that are numbers), standardized if the case says so, in its dtype."""
    if case.standardize:
        x_train, x_dev = standardized(x_train, x_dev)
        if classes == 0:
            mean, deviation = y_train.mean(), y_train.std()
            y_train, y_dev = (y_train - mean) / deviation, (y_dev - mean) / deviation
            y_train = y_train * (deviation / deviation)  # NaN where the deviation overflowed
    x_train, x_dev = x_train.astype(case.dtype), x_dev.astype(case.dtype)
    if classes == 0:
        y_train, y_dev = y_train.astype(case.dtype), y_dev.astype(case.dtype)
    if not all(np.isfinite(a).all() for a in (x_train, x_dev, y_train, y_dev)):
        raise InputError(
            f"{case.data}: its numbers are too large for {case.dtype}; scale them down"
        )
    return x_train, y_train, x_dev, y_dev


def _split(
    raw: Raw, case: Case, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The file's own dev set if it has one, else a split that keeps the share of each class."""
    if raw.x_dev is not None and raw.labels_dev is not None:
        return raw.x, raw.labels, raw.x_dev, raw.labels_dev
    n_dev = round(len(raw.x) * case.dev_fraction)
    if not 0 < n_dev < len(raw.x):
        raise InputError(
            f"{case.data}: {len(raw.x)} samples with dev_fraction {case.dev_fraction} leave "
            f"{n_dev} for dev; expected at least 1 in train and in dev"
        )
    fewest = min(n_dev, len(raw.x) - n_dev)
    one_class_each = classes and raw.labels.ndim == 1
    stratify = one_class_each and np.bincount(raw.labels).min() > 1 and classes <= fewest
    train, dev = train_and_dev(
        len(raw.x), n_dev, case.seed % 2**32, raw.labels if stratify else None
    )
    return raw.x[train], raw.labels[train], raw.x[dev], raw.labels[dev]
