"""A bound above all that an operation can give says nothing; a sum that cancels is still judged."""

from typing import Any

import numpy as np
import pytest

from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.judge.replay import replay
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
