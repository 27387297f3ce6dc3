"""Training sets of two moons with noise, and the error of the best classifier there can be."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from torch_parity.compare.case import Case
from torch_parity.compare.data import Data

NOISE = 0.3  # the deviation of each coordinate
SETS, DEV = 3, 2000
FEW, MANY = 60, 1500  # samples of a training set


def base_error(drawn: Data) -> float:
    """The share of dev that the best classifier gets wrong: it knows both moons and the noise, and
    chooses the moon from which a point is more likely to come."""
    t = np.linspace(0, np.pi, 500)
    moons = (np.stack([np.cos(t), np.sin(t)]), np.stack([1 - np.cos(t), 0.5 - np.sin(t)]))
    likely = [
        np.exp(-((drawn.x_dev[:, :, None] - moon) ** 2).sum(axis=1) / (2 * NOISE**2)).mean(axis=1)
        for moon in moons
    ]
    return float(np.mean((likely[1] > likely[0]) != drawn.labels_dev))


def training_case(seed: int, options: Mapping[str, object]) -> Case:
    """samples are those of the training set, but for the case whose data are the pool."""
    base: dict[str, object] = {
        "data": "moons",
        "samples": FEW,
        "noise": NOISE,
        "standardize": False,
        "dev_fraction": DEV / (SETS * MANY + DEV),
        "hidden": (30, 30),
        "activation": "tanh",
        "initializer": "xavier_normal",
        "p": 0,
        "l2": 0,
        "optimizer": "adam",
        "lr": 0.04,
        "steps": 150,
        "batch": 64,
        "log_every": 50,
        "seed": seed,
    }
    return Case.model_validate({**base, **options})


def training_set(pool: Data, i: int, options: Mapping[str, object]) -> Data:
    """The i-th training set, which shares no sample with the others, and the whole dev set."""
    size = int(str(options.get("samples", FEW)))
    rows = slice(i * size, (i + 1) * size)
    return replace(pool, x_train=pool.x_train[rows], labels_train=pool.labels_train[rows])
