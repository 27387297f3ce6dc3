"""The difference of two right sides that is in no doubt: of a sum its own, of an elementwise
operation at least that of its input."""

import numpy as np

from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.judge.quick import small_differences

ROWS, WIDE = 30, 900
LINEAR = Node("linear", ("x", "W1", "b1"), ("z1",))
RELU = Node("relu", ("z1",), ("a1",))
NEXT = Node("linear", ("a1", "W2", "b2"), ("z2",))
SHAPES = {"x": (ROWS, WIDE), "W1": (5, WIDE), "b1": (5,), "z1": (ROWS, 5), "a1": (ROWS, 5)}
SHAPES |= {"W2": (4, 5), "b2": (4,), "z2": (ROWS, 4)}
KNOWN = {name: np.ones(shape) for name, shape in SHAPES.items()}


def test_elementwise_operations_hand_on_what_their_inputs_differ_by() -> None:
    found = small_differences([LINEAR, RELU, NEXT], KNOWN, KNOWN)
    alone = {
        n: s for node in (RELU, NEXT) for n, s in small_differences([node], KNOWN, KNOWN).items()
    }
    assert found["a1"] == found["z1"] > 4 * alone["a1"]
    assert found["z2"] == alone["z2"] < found["z1"], "a sum of few terms is held to its own"
