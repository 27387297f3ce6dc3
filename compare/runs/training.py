"""Both sides, trained side by side: each step is judged, and the curves run free.

Training amplifies one rounding error without bound, so two right sides may be far apart after a
thousand steps. The verdict therefore comes from steps that start from the same state (torch's), and
the curves from each side trained on its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from time import perf_counter
from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.precision import all_widened
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.flow.nodes import Node, active_masks
from torch_parity.compare.flow.phases import Phase, phases
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import Fault, Judgement, Side, first_not_finite, judge
from torch_parity.compare.judge.outcome import Answer
from torch_parity.compare.runs.perturbed_copy import drift, perturbed
from torch_parity.compare.runs.units import inactive_units
from torch_parity.compare.sources.pair import Pair
from torch_parity.compare.sources.recorded import previous
from torch_parity.manual.models.step import Tensors
from torch_parity.manual.names import Names
from torch_parity.torch_ref.ops.dropout import generator_of, put_back

Curves = dict[str, float]


@dataclass(frozen=True)
class StepRecord:
    """One step: its judgement, what the curves of each side gain, and the free gap.

    drift is the greatest relative difference of any parameter between the two free-running sides.
    envelope is the same between manual and the perturbed copy: a copy of manual whose parameters
    are moved by one unit in the last place at every step, which is what rounding alone may do.
    stepping and judging are the seconds that the two judged steps and their judgement took.
    params are those of the free-running manual side after the step; torch's are in its module.
    traces, in the steps that are evaluated, are what the free-running sides computed.
    phases says of each tensor that was judged in which phase of the step it is made.
    lost says which operation of the free-running manual side, or of the perturbed copy, was the
    first to make NaN or infinity. (torch's own steps are judged, so they are in the judgement.)
    """

    step: int
    judgement: Judgement
    manual: Curves
    torch: Curves
    perturbed_copy: Curves
    drift: float
    envelope: float
    stepping: float
    judging: float
    params: Tensors = field(default_factory=dict)
    traces: Mapping[Side, Tensors] = field(default_factory=dict)
    phases: Mapping[str, Phase] = field(default_factory=dict)
    lost: Mapping[str, Fault] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        """False once NaN or infinity has appeared anywhere, after which no step can be taken."""
        return self.judgement.finite and not self.lost

    @property
    def outcome(self) -> Answer:
        """That of the judged step; FAIL where a free-running copy is no longer finite."""
        return "FAIL" if self.lost else self.judgement.outcome

    @property
    def passed(self) -> bool:
        """Whether it is a PASS."""
        return self.outcome == "PASS"


@dataclass(frozen=True)
class SideState:
    """One side between two steps: its parameters (W1, b1...), and the memory of its optimizer
    (vW1...). The arrays are never written to."""

    params: Tensors
    memory: Tensors

    def after(self, trace: Tensors) -> "SideState":
        """The same names, with their values after a step."""
        return SideState(
            {name: trace[name] for name in self.params}, {name: trace[name] for name in self.memory}
        )


@dataclass(frozen=True)
class State:
    """All that the steps after this one depend on, besides the case and its data: a training that
    starts from it takes the very same steps.

    manual and perturbed_copy run free; every judged step starts from torch. before holds torch's
    last gradients, optimizer the memory of its own optimizer (TorchSide.memory). generator is the
    state of torch's generator, which draws the masks; perturbation_rng that of the generator which
    perturbs the copy.
    """

    step: int
    manual: SideState
    torch: SideState
    perturbed_copy: SideState
    before: Tensors
    optimizer: Tensors
    generator: np.ndarray
    perturbation_rng: dict[str, Any]


class Training:
    """Both sides side by side: iterate it, once, for one record a step.

    It stops early after a step that is no longer finite. watch is called as
    watch(step, params, x, y, masks, by_hand, by_torch) for each judged step.
    """

    def __init__(
        self,
        case: Case,
        data: Data,
        pair: Pair,
        watch: Callable[..., None] | None = None,
        start: State | None = None,
    ) -> None:
        self.case, self.data, self.pair, self.watch = case, data, pair, watch
        self.step = 0
        self.manual = self.torch = self.perturbed_copy = SideState(pair.params, pair.state)
        self.before: Tensors = {}  # for the mistake of gradients that are not cleared
        self._perturbation_rng = np.random.default_rng([case.seed, 3])
        self._generator = torch.Generator(pair.torch.device).manual_seed(case.seed).get_state()
        if start:
            self.step, self.before = start.step, start.before
            self.manual, self.torch = start.manual, start.torch
            self.perturbed_copy = start.perturbed_copy
            self._perturbation_rng.bit_generator.state = start.perturbation_rng
            self._generator = torch.tensor(start.generator)
            pair.torch.restore(start.torch.params, start.optimizer, start.step)

    def state(self) -> State:
        """The state after the last record."""
        return State(
            self.step,
            self.manual,
            self.torch,
            self.perturbed_copy,
            self.before,
            self.pair.torch.memory(),
            self._generator.numpy(),
            dict(self._perturbation_rng.bit_generator.state),
        )

    def __iter__(self) -> Iterator[StepRecord]:
        for rows in islice(batches(self.case, len(self.data.x_train)), self.step, None):
            # Restored at each step, so that random draws elsewhere cannot change the masks.
            generator = generator_of(self.pair.torch.device)
            with put_back(generator), np.errstate(over="ignore", invalid="ignore"):
                generator.set_state(self._generator)
                record = self._take(self.step + 1, rows)
                self._generator = generator.get_state()
            yield record
            if not record.finite:
                return

    def _take(self, step: int, rows: np.ndarray) -> StepRecord:
        """One step of every side; a step that is not finite moves none of them."""
        case, pair = self.case, self.pair
        x, y = self.data.x_train[rows], pair.targets.y_train[rows]
        began, lr = perf_counter(), pair.torch.lr
        by_torch, masks = pair.torch.step(x, y)
        at = self.torch
        judged = pair.manual.step(at.params, at.memory, x, y, masks, self.step, lr)
        stepping = perf_counter() - began
        start = {**pair.manual.batch(x, y), **at.params, **at.memory, **masks, **self.before}
        start["batch"] = np.asarray(case.batch)
        if pair.schedule:
            start |= pair.schedule.given(self.step)
        nodes = pair.manual.nodes(bool(active_masks(masks)), len(x), lr)
        look_closer = step % case.log_every == 0 or step in (1, case.steps)
        began = perf_counter()
        judgement = judge(nodes, start, judged, by_torch, always_replay=look_closer)
        judging, none = perf_counter() - began, float("nan")
        nothing = StepRecord(
            step, judgement, {}, {}, {}, none, none, stepping, judging, phases=phases(nodes)
        )
        if not judgement.finite:
            return nothing
        if self.watch:
            self.watch(step, at.params, x, y, pair.manual.whole(masks), judged, by_torch)
        sides = self._free_sides()
        free, moved = (
            pair.manual.step(s.params, s.memory, x, y, masks, self.step) for s in sides.values()
        )
        begins = {who: {**start, **s.params, **s.memory} for who, s in sides.items()}
        if lost := _lost(begins, (free, moved), nodes):
            return replace(nothing, lost=lost)
        self.step = step
        self.manual, self.perturbed_copy = self.manual.after(free), self.perturbed_copy.after(moved)
        self.torch = at.after(by_torch)
        self.before = previous(by_torch, self.pair)
        names = list(pair.manual.net.shapes())
        record = replace(
            nothing,
            manual=_curves(free, names, pair.manual.net.names),
            torch=_curves(all_widened(by_torch), names, pair.manual.net.names),
            perturbed_copy={"loss/batch": float(moved["loss"])},
            drift=drift(self.manual.params, all_widened(self.torch.params)),
            envelope=drift(self.manual.params, self.perturbed_copy.params),
            params=self.manual.params,
            traces={"manual": free, "torch": all_widened(by_torch)} if look_closer else {},
        )
        if look_closer:
            evaluate(record, self.data, pair, self.manual.params, self.perturbed_copy.params)
        return record

    def _free_sides(self) -> dict[str, SideState]:
        """The sides that are trained on their own, as the next step begins."""
        copy = self.perturbed_copy
        params = perturbed(copy.params, self._perturbation_rng, np.dtype(self.case.dtype))
        return {"manual": self.manual, "the perturbed copy": replace(copy, params=params)}


def evaluate(
    record: StepRecord, data: Data, pair: Pair, params: Tensors, perturbed_params: Tensors
) -> None:
    """Add loss and score on all of train and dev to the record's curves, dropout off, and the
    share of units that no longer learn on train."""
    t, net = pair.targets, pair.manual.net
    splits = {
        "train": (data.x_train, t.y_train, data.labels_train),
        "dev": (data.x_dev, t.y_dev, data.labels_dev),
    }
    for split, (x, y, labels) in splits.items():
        sides = (
            (record.manual, pair.manual.evaluate(params, x, y)),
            (record.torch, pair.torch.evaluate(x, y)),
            (record.perturbed_copy, pair.manual.evaluate(perturbed_params, x, y)),
        )
        for curves, (loss, outputs) in sides:
            output = outputs[net.result]
            numbers = {
                f"loss/{split}": loss,
                f"{score_name(data)}/{split}": score(output, labels, t.loss, data.classes),
            }
            # what overflows only here leaves a gap in the curve
            curves |= {tag: number for tag, number in numbers.items() if np.isfinite(number)}
            if split == "train" and curves is not record.perturbed_copy:
                curves |= inactive_units(pair.hidden_activations, outputs)


def score_name(data: Data) -> str:
    """What `score` measures on these data."""
    return "accuracy" if data.classes else "R2"


def base_error(case: Case, data: Data) -> float | None:
    """The error that a bias is measured from: a human makes none with classes, and nobody knows
    how much of the spread of numbers can be explained, or how often text can be foretold."""
    known = 0.0 if data.classes and not data.alphabet else None
    return known if case.base_error is None else case.base_error


def score(output: np.ndarray, labels: np.ndarray, loss: str, classes: int) -> float:
    """Share of samples classified rightly; for numbers R^2 = 1 - squared error / variance."""
    if classes == 0:
        return 1 - float(np.mean((output[:, 0] - labels) ** 2) / np.var(labels))
    return float(np.mean(predict(output, loss) == labels))


def predict(output: np.ndarray, loss: str) -> np.ndarray:
    """The class of each sample: the greatest output, or which side of one half a single one is
    (of 0 where it is a logit)                                           # [m, n_out] -> [m]"""
    if output.shape[1] > 1:
        return output.argmax(axis=1)
    threshold = 0.0 if loss == "binary_cross_entropy_with_logits" else 0.5
    return (output[:, 0] > threshold).astype(int)


def batches(case: Case, m: int) -> Iterator[np.ndarray]:
    """Shuffled once an epoch; the last batch of an epoch is as short as it comes."""
    rng = np.random.default_rng([case.seed, 2])
    steps = 0
    while True:
        order = rng.permutation(m)
        for start in range(0, m, case.batch):
            if steps == case.steps:
                return
            steps += 1
            yield order[start : start + case.batch]


def _curves(trace: Tensors, params: list[str], names: Names) -> Curves:
    curves = {"loss/batch": float(trace["loss"])}
    if "lr" in trace:
        curves["learning_rate"] = float(trace["lr"])
    if "cost" in trace:
        curves["cost/batch"] = float(trace["cost"])
    for name in params:
        curves[f"gradient_norm/{name}"] = float(np.linalg.norm(trace[names.gradient(name)]))
        curves[f"weight_norm/{name}"] = float(np.linalg.norm(trace[name]))
    return curves


def _lost(
    begins: Mapping[str, Tensors], made: Iterable[Tensors], nodes: tuple[Node, ...]
) -> dict[str, Fault]:
    """Which of them is no longer finite, and in which operation it began."""
    traces = {who: Trace(b, m, nodes) for (who, b), m in zip(begins.items(), made, strict=True)}
    found = {who: first_not_finite(trace, "manual") for who, trace in traces.items()}
    return {who: fault for who, fault in found.items() if fault}
