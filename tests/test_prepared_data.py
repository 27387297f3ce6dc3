"""The data that are drawn, split and scaled here are scikit-learn's, bit for bit."""

import numpy as np
import pytest
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.data.drawn import circles, moons
from torch_parity.compare.data.preparation import standardized, train_and_dev

SEEDS = range(12)


@pytest.mark.parametrize("samples", [8, 57, 400])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_moons_and_circles(samples: int, noise: float) -> None:
    for seed in SEEDS:
        drawn = int(np.random.default_rng(seed).integers(2**32))
        options = {"noise": noise, "random_state": drawn}
        theirs = {
            moons: datasets.make_moons(samples, **options),
            circles: datasets.make_circles(samples, factor=0.5, **options),
        }
        for draw, (x, labels) in theirs.items():
            raw = draw(samples, noise, np.random.default_rng(seed))
            np.testing.assert_array_equal(raw.x, x, f"seed {seed}")
            np.testing.assert_array_equal(raw.labels, labels, f"seed {seed}")


@pytest.mark.parametrize("by_class", [True, False])
def test_the_split(by_class: bool) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        classes = int(rng.integers(2, 8))
        labels = rng.integers(0, classes, int(rng.integers(5 * classes, 300)))
        labels[: 2 * classes] = np.repeat(np.arange(classes), 2)
        n_dev = int(rng.integers(classes, len(labels) - classes))
        stratify = labels if by_class else None
        given = np.arange(len(labels))
        theirs = train_test_split(given, test_size=n_dev, random_state=seed, stratify=stratify)
        ours = train_and_dev(len(labels), n_dev, seed, stratify)
        for x, y in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(x, y, f"seed {seed}")


def test_scaling() -> None:
    """Also of features that are the same everywhere, all but for rounding, or 0, or huge."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(60, 7)) * 10.0 ** rng.uniform(-3, 3, 7) + 100 * rng.normal(size=7)
        x[:, 2], x[:, 3], x[:, 4], x[:, 5] = 0.1, 0, 1e8 + 1e-8 * x[:, 4], 1e200 * x[:, 5]
        with np.errstate(over="ignore", invalid="ignore"):
            scaler = StandardScaler().fit(x[:50])
            for ours, part in zip(standardized(x[:50], x[50:]), (x[:50], x[50:]), strict=True):
                np.testing.assert_array_equal(ours, scaler.transform(part), f"seed {seed}")


def test_digits() -> None:
    x, labels = datasets.load_digits(return_X_y=True)
    case = Case(standardize=False)
    loaded = data.load(case)
    train, dev = train_test_split(
        np.arange(len(x)), test_size=round(0.2 * len(x)), random_state=case.seed, stratify=labels
    )
    np.testing.assert_array_equal(loaded.x_train, x[train])
    np.testing.assert_array_equal(loaded.labels_dev, labels[dev])
