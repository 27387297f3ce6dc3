"""A bound above all that an operation can give says nothing; a sum that cancels is still judged."""

from typing import Any

import numpy as np
import pytest

from torch_parity.compare.flow.functions import apply
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.judge.replay import TABLE, replay
from torch_parity.compare.judge.replayed import Replayed
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.sources.one_operation import nodes_of

SEED = 7
OUTCOMES = {"float32": ("right", "right", "not judged"), "float64": ("right", "right", "right")}


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng([SEED, *shape]).normal(size=shape)


def backward_of(name: str, dtype: str, **inputs: Any) -> tuple[Node, dict[str, np.ndarray]]:
    row = OPERATIONS[name]
    given = {n: np.asarray(a).astype(dtype) for n, a in inputs.items()}
    return nodes_of(row, row.options[0])[1], given


def judged(node: Node, given: dict[str, np.ndarray], name: str, made: np.ndarray) -> Replayed:
    (found,) = replay([node], given, {name: made.astype(given[node.inputs[0]].dtype)}, gaps=True)
    return found


def layer_norm(dtype: str, mean: float) -> tuple[Node, dict[str, np.ndarray], np.ndarray]:
    node, given = backward_of(
        "layer_norm", dtype, dout=draw(4, 9), input=draw(4, 9) + mean, weight=1 + draw(9) / 9
    )
    x, dxhat = given["input"].astype(np.longdouble), (given["dout"] * given["weight"])
    centred = x - x.mean(1, keepdims=True)
    std = np.sqrt((centred**2).mean(1, keepdims=True) + node.options["eps"])
    xhat = centred / std
    shift = dxhat.mean(1, keepdims=True)
    right = (dxhat - shift - xhat * (dxhat * xhat).mean(1, keepdims=True)) / std
    return node, given, right


@pytest.mark.parametrize("dtype", OUTCOMES)
def test_a_norm_far_from_0(dtype: str) -> None:
    for mean, outcome in zip((0.0, 30.0, 1e6), OUTCOMES[dtype], strict=True):
        node, given, right = layer_norm(dtype, mean)
        found = judged(node, given, "dinput", right)
        assert found.outcome == outcome, (mean, found)
        found = judged(node, given, "dinput", 0 * right)
        assert found.outcome == ("wrong" if outcome == "right" else outcome), (mean, found)


@pytest.mark.parametrize("dtype", OUTCOMES)
def test_a_gradient_that_cancels_is_judged(dtype: str) -> None:
    """As that of a bias before batch norm: 0 but for rounding."""
    dz = draw(50, 3).astype(dtype)
    dz -= dz.mean(axis=0)
    node, given = backward_of("linear", dtype, dz=dz, x=draw(50, 4), W=draw(3, 4))
    found = judged(node, given, "db", dz.sum(axis=0))
    assert found.power > 1
    assert found.right
    assert judged(node, given, "db", dz.sum(axis=0) + 1e-3).wrong


@pytest.mark.parametrize("mistake", ["another eps", "mean dropped", "zeros"])
def test_no_mistake_passes_where_all_digits_are_lost(mistake: str) -> None:
    """The forward of a norm in float32, from inputs that keep their digits to some that do not."""
    outcomes = []
    for mean in (0.0, 1e3, 1e6):
        row = OPERATIONS["layer_norm"]
        node = nodes_of(row, row.options[0])[0]
        x = (draw(8, 16) / 8 + mean).astype(np.float32)
        given = {"input": x, "weight": np.ones(16, np.float32), "bias": np.zeros(16, np.float32)}
        centred = x - x.mean(1, keepdims=True, dtype=np.longdouble)
        std = np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
        wrong = {
            "another eps": centred / np.sqrt(std**2 + 0.01),
            "mean dropped": x / std,
            "zeros": 0 * x,
        }[mistake]
        right, found = (judged(node, given, node.outputs[0], a) for a in (centred / std, wrong))
        assert not right.wrong, (mean, right)
        assert not found.right, (mean, found)
        outcomes.append(right.outcome)
    assert outcomes[:2] == ["right", "right"]
    assert outcomes[-1] == "not judged"


@pytest.mark.parametrize("dtype", OUTCOMES)
@pytest.mark.parametrize("size", [1.0, 30.0, 1e4, 1e6])
def test_what_saturates_is_judged(size: float, dtype: str) -> None:
    """The slope of a sigmoid far from 0 is below its own rounding; a slope of 1 is not."""
    given = {"da": draw(9, 7), "z": size * (1 + abs(draw(9, 7)))}
    for name in ("sigmoid", "tanh", "softmax", "gelu"):
        node, at = backward_of(name, dtype, **given)
        right = apply(node, TABLE, [at[n].astype(np.float64) for n in node.inputs])[0]
        assert judged(node, at, "dz", right).right, name
        assert judged(node, at, "dz", right + at["da"]).wrong, name


@pytest.mark.parametrize("dtype", OUTCOMES)
def test_what_is_0_by_algebra_is_judged(dtype: str) -> None:
    """The softmax of one class is 1, whatever it reads."""
    node, given = backward_of("softmax", dtype, da=draw(6, 1), z=draw(6, 1))
    found = judged(node, given, "dz", np.zeros((6, 1)))
    assert found.right
    assert judged(node, given, "dz", np.full((6, 1), 1e-3)).wrong


def test_zeros_without_a_bound_are_right() -> None:
    node, given = backward_of("relu", "float64", da=draw(4, 3), z=-abs(draw(4, 3)))
    found = judged(node, given, "dz", np.zeros((4, 3)))
    assert (found.outcome, found.power) == ("right", float("inf"))
