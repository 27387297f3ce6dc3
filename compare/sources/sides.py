"""The two sides of a pair: what takes a step, by hand and in torch, with the same names."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from torch_parity import manual
from torch_parity.compare.bounds.precision import all_widened, widened
from torch_parity.compare.flow.accumulated import accumulated_flow
from torch_parity.compare.flow.clipped import clipped_flow
from torch_parity.compare.flow.law import flow
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.sources.schedule import Schedule
from torch_parity.compare.tensors import to_numpy, to_torch
from torch_parity.manual import Clipping, Model, Optimizer
from torch_parity.manual.models.step import Tensors, evaluating
from torch_parity.manual.names import of_micro_batch
from torch_parity.torch_ref import trace
from torch_parity.torch_ref.models.step import predict

CPU = torch.device("cpu")
LEARNING_RATES = "schedule/lr"  # of every group of the optimizer, in TorchSide.memory


@dataclass(frozen=True)
class ManualSide:
    """What to compute by hand; the numbers travel as arguments. Halves are computed with in
    float32."""

    net: Model
    optimizer: Optimizer
    schedule: Schedule | None = None
    accumulate: int = 1
    clipping: Clipping | None = None

    def batch(self, x: np.ndarray, y: np.ndarray) -> Tensors:
        """What a step is given to learn from: x and y, or x_m0, y_m0... of its micro-batches."""
        parts = self._parts(x, y)
        if len(parts) == 1:
            return {"x": x, "y": y}
        return {
            of_micro_batch(name, k): a
            for k, part in enumerate(parts)
            for name, a in zip(("x", "y"), part, strict=True)
        }

    def _parts(self, x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        cuts = np.cumsum(manual.micro_batches(len(x), self.accumulate))[:-1]
        return [*zip(np.split(x, cuts), np.split(y, cuts), strict=True)]

    def whole(self, masks: Tensors) -> Tensors:
        """The masks of a batch, from those of its micro-batches."""
        own = {of_micro_batch(n, 0): n for n in self.net.shapes_of_masks(1)}
        if own.keys().isdisjoint(masks):
            return masks
        count = len(masks) // len(own)
        return {
            name: np.concatenate([masks[of_micro_batch(name, k)] for k in range(count)])
            for name in own.values()
        }

    def nodes(self, dropout: bool, samples: int, lr: float | None = None) -> tuple[Node, ...]:
        """What a step on so many samples should compute; dropout says whether it drops any."""
        rows = manual.micro_batches(samples, self.accumulate)
        masks = self.net.shapes_of_masks(1) if dropout else ()
        if len(rows) == 1:
            nodes = flow(self.net, self.optimizer, masks)
        else:
            nodes = accumulated_flow(self.net, self.optimizer, masks, rows)
        if self.clipping:
            nodes = clipped_flow(nodes, self.net, self.clipping)
        if self.schedule and lr is not None:
            nodes = self.schedule.nodes(nodes, lr)
        return nodes

    def step(
        self,
        params: Tensors,
        state: Tensors,
        x: np.ndarray,
        y: np.ndarray,
        masks: Tensors,
        done: int = 0,
        lr: float | None = None,
    ) -> Tensors:
        """A step with this side's network and optimizer, after so many steps: with this learning
        rate, or with the one that the schedule has."""
        given = (all_widened(params), all_widened(state), widened(x), widened(y))
        if self.schedule is None:
            return self._step(self.optimizer, *given, all_widened(masks))
        optimizer: Any = self.optimizer
        now = replace(optimizer, lr=self.schedule.at(done) if lr is None else lr)
        return self.schedule.recorded(done) | self._step(now, *given, all_widened(masks))

    def _step(
        self,
        optimizer: Optimizer,
        params: Tensors,
        state: Tensors,
        x: np.ndarray,
        y: np.ndarray,
        masks: Tensors,
    ) -> Tensors:
        net, parts = self.net, self._parts(x, y)
        if len(parts) > 1:
            names = net.shapes_of_masks(1)
            of = [{n: masks[of_micro_batch(n, k)] for n in names} for k in range(len(parts))]
            whole = [(*part, own) for part, own in zip(parts, of, strict=True)]
            return manual.accumulated_step(net, optimizer, params, state, whole, self.clipping)
        if self.clipping:
            return manual.clipped_step(net, optimizer, params, state, x, y, masks, self.clipping)
        return manual.step(net, optimizer, params, state, x, y, masks)

    def outputs(self, params: Tensors, x: np.ndarray) -> Tensors:
        """Every tensor from the input to the output, in evaluation."""
        return manual.forward(evaluating(self.net), all_widened(params), widened(x), {})

    def evaluate(self, params: Tensors, x: np.ndarray, y: np.ndarray) -> tuple[float, Tensors]:
        """(loss without penalty, every tensor to the output), in evaluation."""
        outputs = self.outputs(params, x)
        t = manual.cost(self.net, all_widened(params), outputs[self.net.result], widened(y))
        return float(t["loss"]), outputs


@dataclass(frozen=True)
class TorchSide:
    """The module, its loss and its optimizer; the numbers live inside them. model is the
    hand-written one, whose names this side's tensors get."""

    net: nn.Module
    task: trace.Task
    model: Model
    order: dict[str, int]
    device: torch.device = CPU
    schedule: Schedule | None = None
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The module's optimizer."""
        return self.task.optimizer

    @cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The module's parameters under the model's names."""
        return dict(self.task.params)

    @property
    def lr(self) -> float | None:
        """The learning rate of the next step; None where it is constant. (momentum_course has
        another one in torch, with the same factor.)"""
        if self.schedule is None:
            return None
        group = self.optimizer.param_groups[0]
        return self.schedule.base * float(group["lr"] / group["initial_lr"])

    def step(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensors, Tensors]:
        """One recorded step -> (trace, masks), as arrays in memory of their own."""
        lr = self.lr
        tensors, masks = trace.recorded_step(
            self.task, to_torch(x, self.device), to_torch(y, self.device)
        )
        if self.scheduler and "loss" in tensors:
            tensors["lr"] = torch.tensor(lr, dtype=next(self.net.parameters()).dtype)
            self.scheduler.step()
        at = self.order
        in_order = sorted(tensors, key=lambda name: at.get(name, len(at)))
        return {n: to_numpy(tensors[n]) for n in in_order}, _arrays(masks)

    def params(self) -> Tensors:
        """A copy of W1, b1, W2, b2... and of the running statistics, if the model keeps any."""
        kept = {**self.parameters, **self.task.buffers}
        return {n: to_numpy(p).copy() for n, p in kept.items()}

    def state(self) -> Tensors:
        """A copy of what the optimizer remembers: vW1, vb1...; nothing before its first step."""
        task = self.task
        return _arrays(trace.memory(task.optimizer, task.read, task.params, task.names))

    def memory(self) -> Tensors:
        """Copies of what torch's optimizer keeps, under torch's names: 0/momentum_buffer is that of
        the first parameter. (A trace has the course's names for it, and with them its scale.)"""
        kept = self.optimizer.state_dict()["state"]
        rates = [group["lr"] for group in self.optimizer.param_groups]
        schedule = {LEARNING_RATES: np.asarray(rates)} if self.scheduler else {}
        return schedule | {
            f"{i}/{name}": to_numpy(value).copy()
            for i, slots in kept.items()
            for name, value in slots.items()
        }

    def restore(self, params: Tensors, memory: Tensors, done: int = 0) -> None:
        """Put both back to what they were after so many steps, bit for bit."""
        with torch.no_grad():
            for name, p in {**self.parameters, **self.task.buffers}.items():
                p.copy_(to_torch(params[name]))
        kept: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in memory.items():
            if key == LEARNING_RATES:
                continue
            i, name = key.split("/")
            kept.setdefault(int(i), {})[name] = to_torch(value)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": kept})
        if self.scheduler:
            self.scheduler.last_epoch = done
            rates = memory[LEARNING_RATES]
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = float(rate)

    def outputs(self, x: np.ndarray) -> Tensors:
        """Every tensor from the input to the output, in evaluation; to look at, so halves are
        widened."""
        return all_widened(_arrays(self._outputs(x)))

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> tuple[float, Tensors]:
        """(loss without penalty, every tensor to the output), in evaluation."""
        outputs = self._outputs(x)
        output, shown = outputs[self.model.result], all_widened(_arrays(outputs))
        if not output.isfinite().all():  # torch's losses refuse what a diverged run delivers
            return float("nan"), shown
        return float(self.task.criterion(output, to_torch(y, self.device))), shown

    def _outputs(self, x: np.ndarray) -> dict[str, torch.Tensor]:
        with trace.Recorder(self.net, self.task.names) as recorder:
            predict(self.net, to_torch(x, self.device))
        return recorder.tensors


def _arrays(tensors: dict[str, torch.Tensor]) -> Tensors:
    return {name: to_numpy(t) for name, t in tensors.items()}
