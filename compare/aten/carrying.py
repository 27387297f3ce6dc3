"""a's state in b's tensors: transposed, fused or split as the two models' first numbers show.

Both begin from the same numbers, by which their tensors are paired. Each later step of b can then
begin from what a has become: parameters, buffers, gradients, and the optimizer's state, which lies
as its parameter does.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torch_parity.compare.aten.ends import result_of, split
from torch_parity.compare.aten.given_pairs import Known, hinted, paired
from torch_parity.compare.aten.model_state import Key, ModelState, keys_of
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.aten.pairing import Pairing
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.snapshots import unreadable
from torch_parity.compare.bounds.precision import widened
from torch_parity.compare.tensors import to_numpy, to_torch


class NotCarried(Exception):
    """A tensor of b has no counterpart in a; the message names it."""


class Carrier:
    """Makes states of b out of those of a; both are given as they are before the first step.

    names says what of b is what of a, {"fc1": "layers.0"}, where several tensors hold the same
    numbers. ignored says of a result of b ("new steps") that it is not compared: a tensor without a
    counterpart then stays b's own.
    """

    def __init__(
        self,
        models: tuple[nn.Module, nn.Module],
        starts: tuple[ModelState, ModelState],
        names: Mapping[str, str],
        ignored: Callable[[str], bool],
    ) -> None:
        self._ignored = ignored
        self._a, self._b = (keys_of(model) for model in models)
        of_a, of_b = _arrays(self._a, starts[0]), _arrays(self._b, starts[1])
        self._pairs = paired(Known(of_a), of_b, hinted(names, self._b))
        self._changed: set[str] = set()
        self._slots_of_a: dict[str, str] = {}

    def saw(self, of_b: Record) -> None:
        """A step of b: what it has changed has to be carried over from now on. What no step changes
        (a mask, a table) stays b's own."""
        self._changed |= {n for n in self._b if result_of(of_b, n, "new ", "") in of_b.results}

    def settle(self, report: ModulesReport) -> None:
        """Of several tensors of a that held the same numbers as one of b's, keep that one whose
        numbers after the same step are closest; those that are still the same stay. And what the
        optimizers keep under different names."""
        for verdict in report.alignment.ends:
            if verdict.end.slot and verdict.outcome == "right":
                _, slot, _ = split(verdict.end.name, self._pairs)
                self._slots_of_a[slot.lstrip(".")] = verdict.end.slot.lstrip(".")
        of_a, of_b = (model.record for model in report.models)
        for name, pairing in self._pairs.items():
            if not pairing.rivals:
                continue
            own = _after(of_b, name)
            choices = [replace(choice, rivals=()) for choice in (pairing, *pairing.rivals)]
            numbers = [
                choice.taken_from({n: _after(of_a, n) for n in choice.names}, own.shape)
                for choice in choices
            ]
            nearest = int(np.argmin([_gap(x, own) for x in numbers]))
            left = [
                c
                for c, x in zip(choices, numbers, strict=True)
                if np.array_equal(x, numbers[nearest])
            ]
            rivals = tuple(c for c in left if c is not choices[nearest])
            self._pairs[name] = replace(choices[nearest], rivals=rivals)

    def carried(self, a: ModelState, b: ModelState) -> ModelState:
        """b's state, with a's numbers in all that b's steps change. The settings of b's optimizer
        stay b's own.

        Raises:
            NotCarried: a has no counterpart for one of them.
        """
        tensors, gradients, optimizer = dict(b.tensors), dict(b.gradients), dict(b.optimizer)
        arrays = _arrays(self._a, a)
        for name in sorted(self._changed):
            pairing, key = self._pairs.get(name), self._b[name]
            if pairing is None and self._ignored(f"new {name}"):
                continue
            if pairing is None:
                raise NotCarried(f"{name} of b: a has no tensor with the same numbers at the start")
            own = b.tensors[key]
            tensors[key] = _like(own, pairing.taken_from(arrays, tuple(own.shape)))
            if isinstance(key, nn.Parameter):
                gradients[key] = self._gradient(pairing, a, own)
                if key in optimizer:
                    optimizer[key] = self._slots(name, pairing, a, b)
        return replace(b, tensors=tensors, gradients=gradients, optimizer=optimizer)

    def both(self, a: ModelState, b: ModelState) -> tuple[dict[str, np.ndarray], ...]:
        """a's parameters in b's layout, and b's, by b's names: those that are paired."""
        arrays = _arrays(self._a, a)
        keys = {
            name: key
            for name, key in self._b.items()
            if name in self._pairs and isinstance(key, nn.Parameter)
        }
        own = {name: to_numpy(b.tensors[key]) for name, key in keys.items()}
        theirs = {n: self._pairs[n].taken_from(arrays, x.shape) for n, x in own.items()}
        return tuple({n: widened(x) for n, x in side.items()} for side in (theirs, own))

    def _gradient(self, pairing: Pairing, a: ModelState, own: Tensor) -> Tensor | None:
        """None where a has none for any part of it."""
        found: dict[str, np.ndarray] = {}
        for name in pairing.names:
            key = self._a[name]
            gradient = a.gradients.get(key) if isinstance(key, nn.Parameter) else None
            if gradient is None:
                return None
            if unreadable(gradient):
                raise NotCarried(f"the gradient of a's {name} is a {unreadable(gradient)}")
            found[name] = to_numpy(gradient)
        return _like(own, pairing.taken_from(found, tuple(own.shape)))

    def _slots(self, name: str, pairing: Pairing, a: ModelState, b: ModelState) -> dict[str, Any]:
        """The optimizer's state of one parameter of b."""
        shape = b.tensors[self._b[name]].shape
        sources = [(n, self._a[n], a.optimizer.get(self._a[n], {})) for n in pairing.names]
        found: dict[str, Any] = {}
        for slot, own in b.optimizer[self._b[name]].items():
            theirs = self._slots_of_a.get(slot, slot)
            parts = {n: slots[theirs] for n, _, slots in sources if theirs in slots}
            if not isinstance(own, Tensor) or own.numel() == 1:  # a counter
                found[slot] = _counter(own, next(iter(parts.values()), own))
                continue
            as_the_parameters = own.shape == shape and all(
                isinstance(slots.get(theirs), Tensor)
                and slots[theirs].shape == a.tensors[key].shape
                for _, key, slots in sources
            )
            if not as_the_parameters:
                raise NotCarried(f"a's optimizer keeps nothing that is {slot} of {name} in b's")
            numbers = {n: to_numpy(part) for n, part in parts.items()}
            found[slot] = _like(own, pairing.taken_from(numbers, tuple(shape)))
        return found


def _arrays(keys: Mapping[str, Key], state: ModelState) -> dict[str, np.ndarray]:
    tensors = {name: state.tensors[key] for name, key in keys.items()}
    return {name: to_numpy(t) for name, t in tensors.items() if not unreadable(t)}


def _after(record: Record, name: str) -> np.ndarray:
    """A parameter or buffer after a recorded step."""
    result = result_of(record, name, "new ", "")
    return to_numpy(record.value(record.results.get(result, record.given[name])))


def _like(own: Tensor, array: np.ndarray) -> Tensor:
    """The numbers in the layout and the precision that b's tensor has."""
    return torch.empty_like(own).copy_(to_torch(array, own.device))


def _counter(own: Any, of_a: Any) -> Any:
    """a's count in the kind that b has; a tensor of its own for each parameter."""
    if isinstance(own, Tensor):
        return torch.full_like(own, float(of_a))
    return type(own)(of_a) if isinstance(own, int | float) else own


def _gap(x: np.ndarray, y: np.ndarray) -> float:
    """The greatest difference; NaN counts as the largest."""
    with np.errstate(all="ignore"):
        gap = np.abs(widened(x).astype(np.float64) - widened(y).astype(np.float64))
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0))
