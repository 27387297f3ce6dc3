"""Splitting data into train and dev, and scaling them: as scikit-learn's train_test_split and
StandardScaler do, bit for bit; importing it takes longer than a short check.
"""

import numpy as np


def train_and_dev(
    samples: int, n_dev: int, seed: int, classes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the samples in train and in dev, in an order that is drawn. Given the class of
    each sample, 0..K-1, both get the same share of each."""
    rng = np.random.RandomState(seed)
    if classes is None:
        order = rng.permutation(samples)
        return order[n_dev:], order[:n_dev]
    counts = np.bincount(classes)
    in_train = _shares(counts, samples - n_dev, rng)
    in_dev = _shares(counts - in_train, n_dev, rng)
    train, dev = [], []
    for k, (n, m) in enumerate(zip(in_train, in_dev, strict=True)):
        of_class = np.flatnonzero(classes == k)[rng.permutation(counts[k])]
        train.append(of_class[:n])
        dev.append(of_class[n : n + m])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(dev))


def _shares(counts: np.ndarray, wanted: int, rng: np.random.RandomState) -> np.ndarray:
    """How many to take of each class, `wanted` in all: its share rounded down, and one more of
    those that lost most by that; equal losses are drawn."""
    exact = counts / counts.sum() * wanted
    taken = np.floor(exact)
    lost, missing = exact - taken, int(wanted - taken.sum())
    for most in np.unique(lost)[::-1]:
        if missing == 0:
            break
        (equal,) = np.where(lost == most)
        more = min(len(equal), missing)
        taken[rng.choice(equal, size=more, replace=False)] += 1
        missing -= more
    return taken.astype(int)


def standardized(x_train: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """(x - mean) / deviation of each feature, both as measured on x_train; a feature that is the
    same for all samples, up to rounding, is not divided."""
    n, eps = len(x_train), np.finfo(np.float64).eps
    mean = x_train.sum(axis=0) / n
    centred = x_train - mean
    correction = centred.sum(axis=0)  # what rounding left of the mean
    var = ((centred**2).sum(axis=0) - correction**2 / n) / n
    constant = var <= n * eps * var + (n * mean * eps) ** 2
    deviation = np.where(constant, 1.0, np.sqrt(var))
    return tuple((x - mean) / deviation for x in (x_train, *others))
