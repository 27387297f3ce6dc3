"""The parts of the rows of the register: samples to test with, torch counterparts that take inputs,
and conditions under which a torch module does the same. Importing it does not import torch."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from torch_parity import manual

Samples = dict[str, np.ndarray]
Draw = Callable[[np.random.Generator, Any], Samples]


def twin_module(function: Callable[..., Any]) -> Any:
    """The file of torch_ref/ that stands for this function's file of manual/."""
    return import_module(function.__module__.replace("parity.manual.", "parity.torch_ref."))


def normal(**shapes: tuple[int, ...]) -> Draw:
    """Normal numbers of these shapes."""

    def samples(rng: np.random.Generator, dtype: Any) -> Samples:
        return {name: rng.normal(0, 2, shape).astype(dtype) for name, shape in shapes.items()}

    return samples


def scores_and_classes(rng: np.random.Generator, dtype: Any) -> Samples:
    """z, and one class for each row."""
    return {"z": rng.normal(0, 3, (6, 5)).astype(dtype), "y": rng.integers(0, 5, 6)}


def scores_and_bits(rng: np.random.Generator, dtype: Any) -> Samples:
    """z, and 0 or 1 for each entry."""
    bits = rng.integers(0, 2, (6, 2)).astype(dtype)
    return {"z": rng.normal(0, 3, (6, 2)).astype(dtype), "y": bits}


def probabilities_and_bits(rng: np.random.Generator, dtype: Any) -> Samples:
    """a in (0, 1), and 0 or 1 for each entry."""
    bits = rng.integers(0, 2, (6, 2)).astype(dtype)
    return {"a": rng.uniform(0.001, 0.999, (6, 2)).astype(dtype), "y": bits}


_DROPOUT_SEED, _DROPOUT_P = 7, 0.3


def units_and_mask(rng: np.random.Generator, dtype: Any) -> Samples:
    """The mask that nn.Dropout will draw once its generator is seeded like this one."""
    import torch

    twin = twin_module(manual.dropout)
    a = rng.normal(0, 2, (6, 5)).astype(dtype)
    state = torch.Generator().manual_seed(_DROPOUT_SEED).get_state()
    return {"a": a, "mask": twin.recover_mask(_DROPOUT_P, state, torch.tensor(a)).numpy()}


def linear_twin() -> Callable[..., Any]:
    """nn.Linear on given weights."""
    import torch

    def apply(x: Any, W: Any, b: Any) -> Any:
        module = twin_module(manual.linear).linear(W.shape[1], W.shape[0])
        return torch.func.functional_call(module, {"weight": W, "bias": b}, (x,))

    return apply


def dropout_twin() -> Callable[..., Any]:
    """nn.Dropout, whose generator draws the mask of the samples."""
    import torch

    def apply(a: Any, mask: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_DROPOUT_SEED)
            return twin_module(manual.dropout).dropout(_DROPOUT_P)(a)

    return apply


def penalty_twin(l1: float, l2: float, m: int) -> Callable[..., Any]:
    """The penalty of torch_ref."""
    return lambda *weights: twin_module(manual.penalty).Penalty(l1, l2, m).value(list(weights))


def if_a_matrix(module: Any, x: np.ndarray, *rest: np.ndarray) -> str | None:
    """None if x is a matrix, or why not."""
    return None if x.ndim == 2 else f"its input has {x.ndim} dimensions"


def if_over_rows(module: Any, z: np.ndarray) -> str | None:
    """None if the module works on the rows of a matrix, or why not."""
    rows = z.ndim == 2 and module.dim in (1, -1)
    return None if rows else "not over the rows of a table"


def if_plain_loss(module: Any) -> str | None:
    """None if it is a mean or a sum without weights, or why not."""
    if module.reduction not in ("mean", "sum"):
        return f"reduction={module.reduction!r}"
    weighed = (getattr(module, name, None) is not None for name in ("weight", "pos_weight"))
    return "it has weights" if any(weighed) else None


def if_plain_targets(module: Any, a: np.ndarray, y: np.ndarray) -> str | None:
    """None if the targets are numbers of the shape of a, or why not."""
    same = a.shape == y.shape and y.dtype.kind == "f"
    return if_plain_loss(module) or (None if same else "targets of another shape or type")


def if_plain_classes(module: Any, z: np.ndarray, y: np.ndarray) -> str | None:
    """None if y has one class for each row, or why not."""
    classes = z.ndim == 2 and y.shape == z.shape[:1] and y.dtype.kind in "iu"
    plain = classes and not module.label_smoothing and y.size and y.min() >= 0
    return if_plain_loss(module) or (None if plain else "not one class for each row")
