"""Optimizers against torch.optim over several steps: one step hides momentum and Adam's t."""

import inspect

import numpy as np
import pytest
import torch

from torch_parity import manual
from torch_parity.manual.models.step import Optimizer
from torch_parity.torch_ref.optimizers.adam import adam
from torch_parity.torch_ref.trace import OPTIMIZERS

CASES: dict[str, tuple[Optimizer, tuple[float, ...]]] = {
    "sgd": (manual.SGD(0.3), (0.3,)),
    "momentum": (manual.Momentum(0.3, 0.7), (0.3, 0.7)),
    "momentum_course": (manual.MomentumCourse(0.3, 0.7), (0.3, 0.7)),
    "nesterov": (manual.Nesterov(0.3, 0.7), (0.3, 0.7)),
    "rmsprop": (manual.RMSprop(0.3, 0.8, 1e-4), (0.3, 0.8, 1e-4)),
    "adamw": (manual.AdamW(0.3, 0.8, 0.95, 1e-4, 0.2), (0.3, 0.8, 0.95, 1e-4, 0.2)),
    "adam": (manual.Adam(0.3, 0.8, 0.95, 1e-4), (0.3, 0.8, 0.95, 1e-4)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 7), (3,)])
def test_same_path_as_torch(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    ours, constants = CASES[name]
    make, read_slots = OPTIMIZERS[name]
    rng = np.random.default_rng(11)
    W = rng.normal(size=shape).astype(dtype)
    parameter = torch.nn.Parameter(torch.tensor(W))
    theirs = make([{"params": [parameter]}], *constants)
    slots = ours.initial(W)
    for step in range(6):
        dW = rng.normal(size=shape).astype(dtype)
        before = [a.copy() for a in (W, dW, *slots)]
        W_new, *slots_new = ours.update(W, dW, *slots)
        assert all(np.array_equal(a, b) for a, b in zip(before, (W, dW, *slots), strict=True))
        parameter.grad = torch.tensor(dW)
        theirs.step()
        state = read_slots(theirs.state[parameter], theirs.param_groups[0])
        pairs = [(W_new, parameter), *zip(slots_new, (state[s] for s in ours.slots), strict=True)]
        for mine, torchs in pairs:
            # a handful of roundings a step, each of the size of the largest entry
            bound = 20 * (step + 1) * np.finfo(dtype).eps * max(1, np.abs(mine).max())
            gap = np.abs(mine - torchs.detach().numpy()).max()
            assert gap <= bound, f"{name}, seed 11, step {step}: {gap:.3g} over {bound:.3g}"
        W, slots = W_new, tuple(slots_new)


def test_the_two_momenta_are_one_path_at_scaled_learning_rates() -> None:
    rng = np.random.default_rng(2)
    W = V = rng.normal(size=(3, 5))
    w_torch, w_course = np.zeros((3, 5)), np.zeros((3, 5))
    for _ in range(5):
        dW = rng.normal(size=(3, 5))
        W, w_torch = manual.momentum(W, dW, w_torch, lr=0.1, momentum=0.6)
        V, w_course = manual.momentum_course(V, dW, w_course, lr=0.1 / (1 - 0.6), beta=0.6)
    np.testing.assert_allclose(W, V, rtol=1e-14)


def test_dampening_is_not_the_courses_average() -> None:
    """Why torch_ref scales lr (optimizers/momentum.py): SGD(dampening=) skips the first step."""
    parameter = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    theirs = torch.optim.SGD([parameter], lr=1.0, momentum=0.9, dampening=0.9)
    parameter.grad = torch.ones(2, dtype=torch.float64)
    theirs.step()
    W, _ = manual.momentum_course(np.zeros(2), np.ones(2), np.zeros(2), lr=1.0, beta=0.9)
    np.testing.assert_allclose(parameter.detach().numpy() / W, 10)


def test_weight_decay_in_adam_goes_through_the_gradient() -> None:
    """torch.optim.Adam's weight_decay is the course's L2; AdamW's is not."""
    W = np.array([[1.0, -2.0, 3.0]])
    dW = np.array([[0.3, 0.1, -0.2]])
    parameter = torch.nn.Parameter(torch.tensor(W))
    optimizer = adam([{"params": [parameter], "weight_decay": 0.5}], lr=0.1)
    parameter.grad = torch.tensor(dW)
    optimizer.step()
    zeros = np.zeros_like(W)
    expected, _, _ = manual.adam(W, dW + 0.5 * W, zeros, zeros, 1, lr=0.1)
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-14)


def test_adamw_spares_biases_and_norms_and_the_moments_see_no_decay() -> None:
    optimizer = manual.AdamW(lr=0.1, weight_decay=0.5)
    params = {"W": np.full((2, 2), 3.0), "b": np.full(2, 3.0)}
    state = manual.initial_state(optimizer, params, manual.COURSE)
    gradients = {"dW": np.zeros((2, 2)), "db": np.zeros(2)}
    new = manual.update(optimizer, params, gradients, state, manual.COURSE)
    np.testing.assert_allclose(new["W"], 3 * (1 - 0.1 * 0.5), rtol=1e-15)
    np.testing.assert_array_equal(new["b"], params["b"])
    assert not new["vW"].any()
    assert not new["sW"].any()


def test_nesterov_is_the_published_form_at_the_point_ahead() -> None:
    """Sutskever's v and W, with the gradient at W + momentum * v: ours is that point."""
    target, lr, decay = np.array([1.0, -2.0]), 0.1, 0.7
    W, v = np.array([4.0, 3.0]), np.zeros(2)
    ours, memory = W, np.zeros(2)
    for _ in range(5):
        ours, memory = manual.nesterov(ours, ours - target, memory, lr, decay)
        v = decay * v - lr * (W + decay * v - target)
        W = W + v
        np.testing.assert_allclose(ours, W + decay * v, rtol=1e-14)


# torch's own, by its names; of momentum, where torch's is 0, course 2 week 2's.
DEFAULTS: dict[str, dict[str, float]] = {
    "momentum": {"momentum": 0.9},
    "momentum_course": {"beta": 0.9},
    "nesterov": {"momentum": 0.9},
    "rmsprop": {"alpha": 0.99, "eps": 1e-8},
    "adam": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "adamw": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_are_torchs_or_the_courses(name: str) -> None:
    """Of the formula, and of the optimizer that holds a network's state."""
    for f in (getattr(manual, name), type(CASES[name][0])):
        parameters = inspect.signature(f).parameters.items()
        assert {n: p.default for n, p in parameters if p.default is not p.empty} == DEFAULTS[name]
