"""An operation that torch composes in another right way has a second formula in its row."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from torch_parity.compare import data, register
from torch_parity.compare.case import Case
from torch_parity.compare.causes.plant import execute
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.judge.replay import replay
from torch_parity.compare.judge.replayed import Replayed
from torch_parity.compare.register.row import Operation
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.one_operation import nodes_of
from torch_parity.compare.sources.recorded import record
from torch_parity.manual.recording import operation
from torch_parity.torch_ref.operations import ADDED


@operation
def softsign(z: np.ndarray) -> np.ndarray:
    """a = z / (1 + |z|)"""
    return z / (1 + np.where(z.real < 0, -z, z))


def softsign_backward(da: np.ndarray, z: np.ndarray) -> np.ndarray:
    """dz = da / (1 + |z|)^2"""
    d = 1 + np.abs(z)
    return da / (d * d)


def quotient_rule(da: np.ndarray, z: np.ndarray) -> np.ndarray:
    """dz = da / d - sign(z) da (z / d) / d with d = 1 + |z|, by torch's autograd: it cancels."""
    d = 1 + np.abs(z)
    return da / d - np.sign(z) * (da * (z / d / d))


def _row(**more: Any) -> Operation:
    return Operation(
        softsign,
        "activation",
        lambda rng, dtype: {"z": rng.normal(0, 2, (6, 5)).astype(dtype)},
        ("z",),
        ("a",),
        module="Softsign",
        torch=nn.Softsign,
        **more,
    )


@pytest.fixture(params=["second formula", "first alone"])
def second(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether softsign's row has torch's formula as well."""
    has = request.param == "second formula"
    register.add(_row(also={"backward": quotient_rule} if has else {}))
    yield has
    del register.OPERATIONS["softsign"], ADDED["softsign"]


FORWARD = Node("softsign", ("z",), ("a",))
BACKWARD = Node("softsign_backward", ("da", "z"), ("dz",), forward=FORWARD)


def gradients(dtype: type, size: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """da and z, whose numbers are about as large as size, and torch's dz."""
    rng = np.random.default_rng(3)
    at = {"da": rng.normal(size=(40, 50)), "z": rng.normal(0, size, (40, 50))}
    at = {name: a.astype(dtype) for name, a in at.items()}
    z = torch.tensor(at["z"], requires_grad=True)
    nn.Softsign()(z).backward(torch.tensor(at["da"]))
    assert z.grad is not None
    return at, z.grad.numpy()


def judged(at: dict[str, np.ndarray], dz: np.ndarray) -> Replayed:
    (found,) = replay([BACKWARD], at, {"dz": dz})
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1.0, 10.0, 1000.0])
def test_torchs_composition_is_right(second: bool, dtype: type, size: float) -> None:
    found = judged(*gradients(dtype, size))
    assert found.right == second or size == 1
    assert (found.use <= 1) == found.right


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_formula_stays_right(second: bool, dtype: type) -> None:
    """Its use is the smaller of the two; the power is what is left where either passes."""
    at, _ = gradients(dtype, 10)
    by_hand = softsign_backward(at["da"], at["z"])
    found = judged(at, by_hand)
    assert found.right
    alone = _alone(at, by_hand)
    assert found.use <= alone.use
    assert (found.power > alone.power) == second


def _alone(at: dict[str, np.ndarray], dz: np.ndarray) -> Replayed:
    row = register.OPERATIONS["softsign"]
    register.OPERATIONS["softsign"] = replace(row, also={})
    try:
        return judged(at, dz)
    finally:
        register.OPERATIONS["softsign"] = row


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda da, z: da / (1 + np.abs(z)),
        lambda da, z: da / (1 + z * z),
        lambda da, z: quotient_rule(da, z) * 1.001,
        lambda da, z: da / (1 + np.abs(z)) + np.sign(z) * da * z / (1 + np.abs(z)) ** 2,
    ],
    ids=["not squared", "square of z", "0.1% too large", "wrong sign"],
)
def test_a_wrong_backward_is_wrong_by_both(second: bool, dtype: type, wrong: Any) -> None:
    at, _ = gradients(dtype, 2)
    assert judged(at, wrong(at["da"], at["z"]).astype(dtype)).outcome == "wrong"


def test_in_the_pair(second: bool) -> None:
    """A network with large weights, whose z are far from 0."""
    case = Case(
        data="moons",
        samples=200,
        batch=100,
        hidden=(40, 30),
        activation="softsign",
        initializer="normal",
        scale=30,
        loss="binary_cross_entropy_with_logits",
        dtype="float32",
        p=0,
    )
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    x, y = loaded.x_train[: case.batch], sides.targets.y_train[: case.batch]
    r = record(sides, x, y, count=1)[-1]
    j = judge(r.nodes, r.start, r.manual, r.torch, always_replay=True)
    assert j.passed == second
    wrong = {**r.torch, "dz1": r.torch["da1"] / (1 + np.abs(r.torch["z1"]))}
    j = judge(r.nodes, r.start, r.manual, wrong, always_replay=True)
    assert j.root is not None
    assert j.root.side == "torch"
    if second:
        assert j.root.found.name == "dz1"


def test_an_output_that_is_not_recorded_may_be_of_either(second: bool) -> None:
    """dz is in a gap: what is computed from it is right by either formula's numbers."""
    at, dz = gradients(np.float32, 1000)
    after = Node("scale", ("dz",), ("out",), {"factor": 0.5})
    for made in (dz, softsign_backward(at["da"], at["z"])):
        (found,) = replay([BACKWARD, after], at, {"out": made * np.float32(0.5)}, gaps=True)
        assert found.right or not second
    wrong = {"out": dz * np.float32(0.501)}
    (found,) = replay([BACKWARD, after], at, wrong, gaps=True)
    assert found.outcome == "wrong"


@pytest.mark.parametrize("offset", [0.0, 3e2, 3e3])
def test_a_second_formula_that_rounds_all_away_excuses_nothing(offset: float) -> None:
    """torch's layer norm folds the mean in: far from 0 its bound is above the gradient's size."""
    rng = np.random.default_rng(0)
    at = {name: rng.normal(size=(8, 20)) for name in ("dout", "input")}
    at |= {"weight": rng.normal(size=20), "bias": rng.normal(size=20)}
    at["input"] += offset
    at = {name: a.astype(np.float32) for name, a in at.items()}
    step = nodes_of(register.OPERATIONS["layer_norm"], {"eps": 1e-5})
    right = execute(step, at, "manual")
    assert all(found.right for found in replay(step, at, right))
    for name in ("out", "dinput", "dweight"):
        wrong = {**right, name: np.zeros_like(right[name])}
        found = {r.name: r.outcome for r in replay(step, at, wrong)}
        assert found[name] == ("not judged" if offset == 3e3 else "wrong"), name


def test_a_second_formula_with_other_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="softsign's backward takes other parameters"):
        register.add(_row(also={"backward": softsign}))
    with pytest.raises(ValueError, match="softsign's backward_parameters takes other parameters"):
        register.add(_row(also={"backward_parameters": softsign_backward}))
    assert "softsign" not in register.OPERATIONS
