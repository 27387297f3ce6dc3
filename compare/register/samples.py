"""The samples that rows are tested with. Importing it does not import torch."""

from collections.abc import Callable
from typing import Any

import numpy as np

Samples = dict[str, np.ndarray]
Draw = Callable[[np.random.Generator, Any], Samples]


def normal(scale: float = 2, **shapes: tuple[int, ...]) -> Draw:
    """Normal numbers of these shapes, with this deviation."""

    def samples(rng: np.random.Generator, dtype: Any) -> Samples:
        drawn = {name: rng.normal(0, scale, shape) for name, shape in shapes.items()}
        return {name: np.asarray(a).astype(dtype) for name, a in drawn.items()}

    return samples


def positive(**shapes: tuple[int, ...]) -> Draw:
    """Numbers between 0.1 and 4 of these shapes."""

    def samples(rng: np.random.Generator, dtype: Any) -> Samples:
        return {name: rng.uniform(0.1, 4, shape).astype(dtype) for name, shape in shapes.items()}

    return samples


def rows_and_index(rng: np.random.Generator, dtype: Any) -> Samples:
    """Rows of three axes, and an index that names the second of any axis twice."""
    return {"input": rng.normal(0, 2, (4, 3, 5)).astype(dtype), "index": np.array([1, 2, 0, 1])}


def symbols_and_table(rng: np.random.Generator, dtype: Any) -> Samples:
    """Symbols, some of which occur several times and the second among them, and a row for each."""
    return {
        "input": np.array([[1, 4, 4], [3, 1, 4]]),
        "weight": rng.normal(0, 2, (5, 3)).astype(dtype),
    }


def gradient_and_norm(rng: np.random.Generator, dtype: Any) -> Samples:
    """A gradient, and the norm that it may have together with others."""
    gradient = rng.normal(0, 2, (3, 4)).astype(dtype)
    return {"gradient": gradient, "total_norm": np.asarray(rng.uniform(3, 9)).astype(dtype)}


def scores_and_classes(rng: np.random.Generator, dtype: Any) -> Samples:
    """z, and one class for each row; each of the five is there."""
    classes = rng.permutation(np.append(np.arange(5), rng.integers(0, 5)))
    return {"z": rng.normal(0, 3, (6, 5)).astype(dtype), "y": classes}


def scores_and_bits(rng: np.random.Generator, dtype: Any) -> Samples:
    """z, and 0 or 1 for each entry."""
    bits = rng.integers(0, 2, (6, 2)).astype(dtype)
    return {"z": rng.normal(0, 3, (6, 2)).astype(dtype), "y": bits}


def probabilities_and_bits(rng: np.random.Generator, dtype: Any) -> Samples:
    """a in (0, 1), and 0 or 1 for each entry."""
    bits = rng.integers(0, 2, (6, 2)).astype(dtype)
    return {"a": rng.uniform(0.001, 0.999, (6, 2)).astype(dtype), "y": bits}


def off_centre(**shapes: tuple[int, ...]) -> Draw:
    """Normal numbers of these shapes; those of the first have a mean that is not 0."""
    drawn = normal(2, **shapes)

    def samples(rng: np.random.Generator, dtype: Any) -> Samples:
        first, *others = drawn(rng, dtype).items()
        name, array = first
        return {name: array + array.dtype.type(3), **dict(others)}

    return samples


def channels_and_statistics(rng: np.random.Generator, dtype: Any) -> Samples:
    """What batch norm takes; a variance is positive."""
    drawn = off_centre(
        input=(4, 3, 2, 5), running_mean=(3,), running_var=(3,), weight=(3,), bias=(3,)
    )(rng, dtype)
    return drawn | {"running_var": rng.uniform(0.5, 4, 3).astype(dtype)}


def heads_and_mask(rng: np.random.Generator, dtype: Any) -> Samples:
    """Queries, keys and values of two heads, as many keys as queries, and a mask that hides a key
    or two of each sample."""
    drawn = normal(1, query=(2, 2, 4, 3), key=(2, 2, 4, 3), value=(2, 2, 4, 3))(rng, dtype)
    mask = np.ones((2, 1, 1, 4), dtype=bool)
    mask[0, ..., 1] = mask[1, ..., 2:] = False
    return {**drawn, "attn_mask": mask}


def projections_and_padding(rng: np.random.Generator, dtype: Any) -> Samples:
    """What multi-head attention takes; the second sample ends with padding."""
    padding = np.array([[False, False, False], [False, False, True]])
    drawn = normal(
        0.4, query=(2, 2, 4), key=(2, 3, 4), value=(2, 3, 4), in_proj_weight=(12, 4),
        in_proj_bias=(12,), out_proj_weight=(4, 4), out_proj_bias=(4,),
    )(rng, dtype)  # fmt: skip
    return {**drawn, "key_padding_mask": padding}
