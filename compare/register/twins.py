"""torch counterparts that take inputs, where a file of torch_ref/ makes a module instead.

Importing it does not import torch.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from torch_parity import manual
from torch_parity.compare.register.samples import Samples


def twin_module(function: Callable[..., Any]) -> Any:
    """The file of torch_ref/ that stands for this function's file of manual/."""
    return import_module(function.__module__.replace("parity.manual.", "parity.torch_ref."))


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


def linear_no_bias_twin() -> Callable[..., Any]:
    """nn.Linear without a bias, on given weights."""
    import torch

    def apply(x: Any, W: Any) -> Any:
        module = twin_module(manual.linear_no_bias).linear_no_bias(W.shape[1], W.shape[0])
        return torch.func.functional_call(module, {"weight": W}, (x,))

    return apply


def dropout_twin() -> Callable[..., Any]:
    """nn.Dropout, whose generator draws the mask of the samples."""
    import torch

    def apply(a: Any, mask: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_DROPOUT_SEED)
            return twin_module(manual.dropout).dropout(_DROPOUT_P)(a)

    return apply


def penalty_twin(l1: float, l2: float, m: float) -> Callable[..., Any]:
    """The penalty of torch_ref."""
    return lambda *weights: twin_module(manual.penalty).Penalty(l1, l2, m).value(list(weights))
