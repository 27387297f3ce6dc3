"""Points in the plane that are drawn, to be separated by class: moons, circles and flower.

Moons and circles are scikit-learn's make_moons and make_circles, bit for bit; importing it takes
longer than drawing and checking them.
"""

import numpy as np

from torch_parity.compare.data.raw import Raw

INNER = 0.5  # the radius of the inner circle


def moons(samples: int, noise: float, rng: np.random.Generator) -> Raw:
    """Two half circles that reach into each other."""
    n_upper, n_lower = samples // 2, samples - samples // 2
    upper, lower = np.linspace(0, np.pi, n_upper), np.linspace(0, np.pi, n_lower)
    x = np.append(np.cos(upper), 1 - np.cos(lower))
    y = np.append(np.sin(upper), 1 - np.sin(lower) - 0.5)
    return _shuffled(np.column_stack([x, y]), n_upper, noise, rng)


def circles(samples: int, noise: float, rng: np.random.Generator) -> Raw:
    """Two circles, one in the other."""
    n_outer, n_inner = samples // 2, samples - samples // 2
    outer, inner = (np.linspace(0, 2 * np.pi, n, endpoint=False) for n in (n_outer, n_inner))
    x = np.append(np.cos(outer), np.cos(inner) * INNER)
    y = np.append(np.sin(outer), np.sin(inner) * INNER)
    return _shuffled(np.column_stack([x, y]), n_outer, noise, rng)


def flower(samples: int, noise: float, rng: np.random.Generator) -> Raw:
    """The course's planar flower: per class j, t = linspace(3.12 j, 3.12 (j + 1)) + noise,
    r = 4 sin 4t + noise, points (r sin t, r cos t)."""
    points, labels = [], []
    for j, count in enumerate((samples - samples // 2, samples // 2)):
        t = np.linspace(3.12 * j, 3.12 * (j + 1), count) + noise * rng.standard_normal(count)
        r = 4 * np.sin(4 * t) + noise * rng.standard_normal(count)
        points.append(np.column_stack([r * np.sin(t), r * np.cos(t)]))
        labels.append(np.full(count, j))
    return Raw(np.concatenate(points), np.concatenate(labels))


def _shuffled(points: np.ndarray, first: int, noise: float, rng: np.random.Generator) -> Raw:
    """In a drawn order, with noise; the first points are of class 0, the others of class 1."""
    old = np.random.RandomState(int(rng.integers(2**32)))  # scikit-learn's kind of generator
    order = np.arange(len(points))
    old.shuffle(order)
    labels = (order >= first).astype(np.intp)
    return Raw(points[order] + old.normal(scale=noise, size=points.shape), labels)
