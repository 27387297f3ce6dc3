"""Whether a stored state is one of this case: a checkpoint may come from anywhere."""

from pathlib import Path

import numpy as np
import torch

from torch_parity.compare.errors import InputError
from torch_parity.compare.runs.training import State
from torch_parity.compare.sources.pair import Pair
from torch_parity.compare.sources.sides import LEARNING_RATES, TorchSide
from torch_parity.manual.models.step import Tensors

Shapes = dict[str, tuple[tuple[int, ...], str]]


def refuse_misfit(path: Path, state: State, pair: Pair) -> None:
    """Refuse arrays of other names, shapes or types than the case has.

    Raises:
        InputError: path, the checkpoint, does not fit; the message names the first such part.
    """
    for side in ("manual", "torch", "perturbed_copy"):
        kept = getattr(state, side)
        for part, own in (("params", pair.params), ("memory", pair.state)):
            if _shapes(getattr(kept, part)) != _shapes(own):
                raise _misfit(path, f"{side}/{part}")
    if not all(name.startswith("previous_") for name in state.before):
        raise _misfit(path, "before")
    if not _fits_optimizer(state.optimizer, pair.torch):
        raise _misfit(path, "optimizer")
    if _shapes({"": state.generator}) != _shapes({"": torch.get_rng_state().numpy()}):
        raise _misfit(path, "generator")
    try:
        np.random.default_rng().bit_generator.state = state.perturbation_rng
    except (ArithmeticError, LookupError, TypeError, ValueError):
        raise _misfit(path, "perturbation_rng") from None


def _misfit(path: Path, part: str) -> InputError:
    return InputError(f"{path} does not fit case.toml: {part} is not that of this case")


def _shapes(tensors: Tensors) -> Shapes:
    return {name: (a.shape, str(a.dtype)) for name, a in tensors.items()}


def _fits_optimizer(kept: Tensors, side: TorchSide) -> bool:
    """Each tensor belongs to a parameter, and is of its shape or a single number; and a schedule
    has the learning rate of every group."""
    groups = side.optimizer.param_groups
    params = [p for group in groups for p in group["params"]]
    shapes = {str(i): tuple(p.shape) for i, p in enumerate(params)}
    rates = {name: a for name, a in kept.items() if name.partition("/")[0] not in shapes}
    scheduled = {LEARNING_RATES: np.zeros(len(groups))} if side.scheduler else {}
    return _shapes(rates) == _shapes(scheduled) and all(
        a.shape in ((), shapes[name.partition("/")[0]])
        for name, a in kept.items()
        if name not in rates
    )
