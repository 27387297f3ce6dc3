"""A module in training: its steps, its scheduler, and the state that it has reached."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torch_parity.compare.aten.draws import Draws
from torch_parity.compare.aten.model_state import ModelState
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.recording import with_own_inputs
from torch_parity.compare.aten.step import Step, record_step
from torch_parity.compare.aten.unchanged import module_of, on_copies
from torch_parity.compare.errors import InputError
from torch_parity.compare.runs.perturbed_copy import perturbed
from torch_parity.compare.tensors import to_numpy, to_torch


@dataclass
class TrainedModule:
    """A module with what trains it, and the state that it has reached on its own."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    called: str

    def __post_init__(self) -> None:
        self.start = self.state = ModelState.of(self.model, self.optimizer)
        self._schedule = (
            None if self.scheduler is None else copy.deepcopy(self.scheduler.state_dict())
        )

    def step(self, batch: Any, loss: Callable[..., Any]) -> Step:
        """What one step of it runs, on a batch."""
        inputs, keywords, target = _parts(batch)
        own = Step(self.model, inputs, keywords, loss, target, self.optimizer, self.called)
        return with_own_inputs(own)

    def begin(self, state: ModelState) -> None:
        """Go to a state, with gradients cleared as the module's own optimizer clears them."""
        state.put_into(self.optimizer)
        self.optimizer.zero_grad()

    def taken(self, step: Step, state: ModelState, draws_of: Record | None) -> Record:
        """The record of a step from this state; the module is left as the step leaves it, and a
        loss that is a module as it was."""
        self.begin(state)
        with torch.enable_grad(), on_copies(module_of(step.loss)):
            return record_step(step, None if draws_of is None else Draws(draws_of))

    def now(self) -> ModelState:
        """The module's state."""
        return ModelState.of(self.model, self.optimizer)

    def schedule(self, state: ModelState) -> ModelState:
        """A state after the scheduler's step, whose changes the other states get by
        `rescheduled`."""
        if self.scheduler is None:
            return state
        state.put_into(self.optimizer)
        try:
            self.scheduler.step()
        except Exception as error:
            raise InputError(
                f"the scheduler of {self.called} raised {type(error).__name__}: {error}"
            ) from error
        return replace(state, settings=self.now().settings)

    def restore(self) -> None:
        """As it was before the training."""
        self.start.put_into(self.optimizer)
        if self._schedule is not None:
            self.scheduler.load_state_dict(self._schedule)


def moved(state: ModelState, rng: np.random.Generator) -> ModelState:
    """Every parameter that is trained, moved by one unit in the last place."""
    tensors = dict(state.tensors)
    for key, tensor in state.tensors.items():
        if isinstance(key, nn.Parameter) and key.requires_grad and tensor.is_floating_point():
            array = to_numpy(tensor)
            (found,) = perturbed({"": array}, rng, array.dtype).values()
            tensors[key] = to_torch(found, tensor.device).to(tensor.dtype)
    return replace(state, tensors=tensors)


def rescheduled(state: ModelState, before: ModelState, after: ModelState) -> ModelState:
    """The state with those settings of the optimizer that a scheduler has changed."""
    changed = [
        own | {key: new[key] for key in new if new[key] != old.get(key)}
        for own, old, new in zip(state.settings, before.settings, after.settings, strict=True)
    ]
    return replace(state, settings=changed)


def _parts(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """The positional inputs, the keyword inputs, and the target of a batch."""
    if type(batch) in (list, tuple) and len(batch) == 2:
        inputs, target = batch
    elif isinstance(batch, Tensor | Mapping):
        inputs, target = batch, None
    else:
        parts = f" of {len(batch)} parts" if isinstance(batch, list | tuple) else ""
        raise InputError(
            f"the batch is a {type(batch).__name__}{parts}; expected (inputs, target), a dict of "
            "keyword inputs, or one tensor"
        )
    if isinstance(inputs, Mapping):
        return (), dict(inputs), target
    return tuple(inputs) if type(inputs) in (list, tuple) else (inputs,), {}, target
