"""Train both sides step by step, and keep what a lesson shows of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
import torch

from torch_parity import manual
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.judge import Side
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.runs import training
from torch_parity.compare.runs.training import StepRecord
from torch_parity.compare.show.progress import Tell, tell_step
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.pair import Pair
from torch_parity.manual.models.step import Tensors

_TELL: ContextVar[Tell] = ContextVar("tell", default=lambda what, done, total, detail: None)


@contextmanager
def telling(tell: Tell) -> Iterator[None]:
    """Inside, `train` tells its steps: a lesson's measurement has other arguments."""
    before = _TELL.set(tell)
    try:
        yield
    finally:
        _TELL.reset(before)


@dataclass(frozen=True)
class Trained:
    """A finished training. params are those of the NumPy side; torch's are in pair.torch.

    records are the steps at which train and dev were evaluated; passed counts the steps in which
    the judge found every tensor right.
    """

    case: Case
    data: Data
    pair: Pair
    params: Tensors
    records: tuple[StepRecord, ...]
    steps: int
    passed: int

    def curve(self, side: Side, name: str) -> list[float]:
        """A curve of one side, such as accuracy/dev, with one value per record."""
        return [(r.manual if side == "manual" else r.torch)[name] for r in self.records]

    def last(self, side: Side, curve: str) -> float:
        """The last value of a curve."""
        return self.curve(side, curve)[-1]

    def before(self) -> "Trained":
        """The same pair before the first step."""
        built = pair.build(self.case, self.data)
        return replace(self, pair=built, params=built.params)

    def params_of(self, side: Side) -> Tensors:
        """W1, b1... after the last step."""
        return self.params if side == "manual" else self.pair.torch.params()

    def trace(self, side: Side, x: np.ndarray) -> Tensors:
        """The output without dropout; on the NumPy side also every tensor before it."""
        if side == "manual":
            return manual.forward(self.pair.manual.net, self.params, x, {})
        return self.pair.torch.outputs(x)

    def output(self, side: Side, x: np.ndarray) -> np.ndarray:
        """a of the last layer                                  # [m, n_in] -> [m, n_out]"""
        return self.trace(side, x)[self.pair.manual.net.result]


def train(case: Case, loaded: Data | None = None) -> Trained:
    """Train a case on both sides, on its own data or on others, and judge every step.

    Raises:
        InputError: with this seed a number becomes NaN or infinite.
    """
    loaded = loaded or data.load(case)
    sides = pair.build(case, loaded)
    kept, steps, passed = [], 0, 0
    for record in training.Training(case, loaded, sides):
        if not record.finite:
            raise InputError(f"step {record.step} has NaN or infinite numbers; try another --seed")
        steps, passed = steps + 1, passed + record.judgement.passed
        tell_step(_TELL.get(), "training both sides", record, case.steps)
        if "loss/train" in record.torch:
            kept.append(record)
    return Trained(case, loaded, sides, record.params, tuple(kept), steps, passed)


def noisy_moons(seed: int, **options: object) -> Case:
    """A large network on 60 noisy samples, which it memorises unless something prevents it."""
    base: dict[str, object] = {
        "data": "moons",
        "samples": 100,
        "noise": 0.3,
        "dev_fraction": 0.4,
        "hidden": (30, 30),
        "activation": "tanh",
        "initializer": "xavier_normal",
        "p": 0,
        "l2": 0,
        "lr": 0.2,
        "steps": 250,
        "batch": 60,
        "log_every": 50,
        "seed": seed,
    }
    return Case.model_validate(base | options)


def slope(side: Side, activation: str, z: np.ndarray) -> np.ndarray:
    """g'(z): the backward function for an upstream gradient of ones  # [m, n] -> [m, n]"""
    operation = OPERATIONS[activation]
    if side == "manual":
        (dz,) = operation.gradients([np.ones_like(z)], [z], {})
        return dz
    at = torch.tensor(z, requires_grad=True)
    operation.twin()(at).sum().backward()
    assert at.grad is not None, "backward has just been called"
    return at.grad.numpy()


def value(side: Side, activation: str, z: np.ndarray) -> np.ndarray:
    """g(z)                                                     # [m, n] -> [m, n]"""
    operation = OPERATIONS[activation]
    return operation.forward(z) if side == "manual" else operation.twin()(torch.tensor(z)).numpy()
