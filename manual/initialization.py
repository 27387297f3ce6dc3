"""Initial weights: random values make the units different; small values keep them from starting
saturated.

Source: course week 3, "random initialization"; course 2 week 1, "weight initialization";
Glorot and Bengio 2010; He et al. 2015; torch.nn.init.
"""

import math

import numpy as np

Shape = tuple[int, ...]  # (n_out, n_in), the shape of W; (out, in, kh, kw) of a kernel


def zeros(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """W = 0: all units of a layer then compute and learn the same. Not random."""
    return np.zeros(shape)


def normal(rng: np.random.Generator, shape: Shape, scale: float = 0.01) -> np.ndarray:
    """W ~ N(0, scale^2)                                        # -> [out, in]"""
    return rng.standard_normal(shape) * scale


def _fans(shape: Shape) -> tuple[int, int]:
    """n_in and n_out: how many numbers a unit reads, and how many units read a number. Each place
    of a kernel counts."""
    places = math.prod(shape[2:])
    return shape[1] * places, shape[0] * places


def xavier_normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """W ~ N(0, 2 / (n_in + n_out)), as in torch and in Glorot's paper    # -> [out, in]"""
    return normal(rng, shape, scale=math.sqrt(2 / sum(_fans(shape))))


def xavier_course(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """W ~ N(0, 1 / n_in): what the course calls Xavier         # -> [out, in]

    Elsewhere it is LeCun's; in torch it is kaiming_normal_ with nonlinearity="linear".
    """
    return normal(rng, shape, scale=math.sqrt(1 / _fans(shape)[0]))


def kaiming_normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """W ~ N(0, 2 / n_in): He's, made for ReLU                  # -> [out, in]"""
    return normal(rng, shape, scale=math.sqrt(2 / _fans(shape)[0]))
