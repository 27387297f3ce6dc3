"""The law of a step: recorded forward, derived backward; pinned, refused where it cannot be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from torch_parity import manual
from torch_parity.compare.flow.functions import FUNCTIONS, apply
from torch_parity.compare.flow.graph import linked
from torch_parity.compare.flow.law import backward_nodes, flow, forward_nodes, recorded_forward
from torch_parity.compare.flow.nodes import Node, is_private
from torch_parity.compare.flow.sharded import sharded_flow
from torch_parity.manual.recording import UnrecordedOperationError, operation, recording

GOLDEN = Path(__file__).parent / "golden"
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "identity", "softmax")
OUTPUTS = {
    "cross_entropy": ("identity",),
    "binary_cross_entropy": ("sigmoid", "softmax"),
    "binary_cross_entropy_with_logits": ("identity",),
    "mse_loss": ACTIVATIONS,
}
PENALTIES: tuple[dict[str, float], ...] = ({}, {"l2": 0.7}, {"l1": 0.3}, {"l1": 0.2, "l2": 0.5})
OPTIMIZERS = (
    manual.SGD(0.1),
    manual.Momentum(0.1, 0.8),
    manual.MomentumCourse(0.1, 0.7),
    manual.Adam(0.01, 0.8, 0.9, 1e-7),
)


def drawn(seed: int) -> tuple[manual.MLP, Any, list[str]]:
    """The network, optimizer and masks of a line of the golden files."""
    rng = np.random.default_rng(seed)
    loss = str(rng.choice(list(OUTPUTS)))
    penalty = PENALTIES[int(rng.integers(0, 4))]
    net = manual.MLP(
        sizes=tuple(int(rng.integers(1, 9)) for _ in range(int(rng.integers(2, 7)))),
        activation=str(rng.choice(ACTIVATIONS)),
        output=str(rng.choice(OUTPUTS[loss])),
        loss=loss,
        reduction=str(rng.choice(["mean", "sum"])),  # type: ignore[arg-type]
        negative_slope=0.2,
        m=int(rng.integers(1, 50)),
        **penalty,
    )
    optimizer = OPTIMIZERS[int(rng.integers(0, 4))]
    masks = [f"mask{k}" for k in range(1, net.depth) if rng.random() < 0.5]
    return net, optimizer, masks


def as_written(node: Node) -> list[Any]:
    parts = [node.operation, node.inputs, node.outputs, dict(node.options), node.layer]
    written: list[Any] = json.loads(json.dumps(parts))
    return written


@pytest.mark.parametrize("golden", json.loads((GOLDEN / "flow.json").read_text()))
def test_the_derived_flow_of_an_mlp_is_the_one_that_was_written_by_hand(golden: Any) -> None:
    """The golden nodes come from the chain that the law replaced, where the two were equal for
    2,000 random networks."""
    nodes = flow(*drawn(golden["seed"]))
    assert [as_written(n) for n in nodes] == golden["nodes"], f"seed {golden['seed']}"


@pytest.mark.parametrize("golden", json.loads((GOLDEN / "sharded_flow.json").read_text()))
def test_so_is_the_flow_of_a_step_on_many_ranks(golden: Any) -> None:
    nodes = sharded_flow(*drawn(golden["seed"]), golden["rows"])
    assert [as_written(n) for n in nodes] == golden["nodes"], f"seed {golden['seed']}"


def residual(**options: Any) -> manual.Residual:
    return manual.Residual((4, 6, 5, 7, 3), activation="tanh", branch_scale=0.5, **options)


def test_the_forward_of_a_residual_network_is_pinned() -> None:
    """So a mistake in the hand-written wiring cannot become the law."""
    block = [
        ("linear", ("{h}", "{b}.fc1.weight", "{b}.fc1.bias"), "{b}.fc1"),
        ("tanh", ("{b}.fc1",), "{b}.act1"),
        ("dropout", ("{b}.act1", "{b}.drop.mask"), "{b}.drop"),
        ("linear", ("{b}.drop", "{b}.fc2.weight", "{b}.fc2.bias"), "{b}.fc2"),
        ("scale", ("{b}.fc2",), "{b}.scale"),
        ("add", ("{h}", "{b}.scale"), "{b}.sum"),
        ("tanh", ("{b}.sum",), "{b}"),
    ]
    expected: list[tuple[str, tuple[str, ...], str]] = [
        ("identity", ("x",), "input"),
        ("linear", ("input", "stem.weight", "stem.bias"), "stem"),
    ]
    for h, b in (("stem", "blocks.0"), ("blocks.0", "blocks.1")):
        for name, inputs, output in block:
            read = tuple(i.format(h=h, b=b) for i in inputs)
            expected.append((name, read, output.format(h=h, b=b)))
    expected += [
        ("linear", ("blocks.1", "head.weight", "head.bias"), "head"),
        ("identity", ("head",), "output"),
        ("cross_entropy", ("output", "y"), "loss"),
    ]
    net = residual()
    nodes = recorded_forward(net, list(net.shapes_of_masks(1)))
    assert [(n.operation, n.inputs, n.outputs[0]) for n in nodes] == expected


@pytest.mark.parametrize("net", [manual.MLP((4, 6, 5, 3), l2=0.7, m=9), residual(l1=0.3, m=9)])
def test_a_law_does_not_depend_on_the_numbers(net: manual.Model) -> None:
    masks = list(net.shapes_of_masks(1))
    first, second = (recorded_forward(net, masks, seed) for seed in (1, 2))
    assert [as_written(n) for n in first] == [as_written(n) for n in second]


def test_a_tensor_that_is_read_twice_gets_a_share_from_each_reader() -> None:
    net = residual(l2=0.7, m=9)
    nodes = {n.outputs[-1]: n for n in flow(net, manual.SGD(0.1), ())}
    total = nodes["blocks.0.grad"]
    assert total.operation == "accumulate"
    assert all(map(is_private, total.inputs))
    assert [name.partition("#")[2] for name in total.inputs] == ["blocks.1.sum", "blocks.1.fc1"]
    penalised = next(n for n in nodes.values() if n.outputs == ("head.weight.grad",))
    assert penalised.inputs == ("head.weight.loss.grad", "head.weight")
    assert nodes["blocks.0.fc1.bias.grad"].forward is not None


def test_nodes_from_elsewhere_are_linked_as_the_laws_are() -> None:
    for net in (manual.MLP((4, 6, 5, 3), l2=0.7, m=9), residual(l2=0.7, m=9)):
        law = flow(net, manual.Adam(0.1), list(net.shapes_of_masks(1)))
        bare = [Node(n.operation, n.inputs, n.outputs, n.options) for n in law]
        for node, again in zip(law, linked(bare), strict=True):
            if node.operation == "accumulate":
                continue  # only the law says which tensor the shares are of
            assert again.layer == node.layer, node
            outputs = [n.forward and n.forward.outputs for n in (node, again)]
            assert outputs[0] == outputs[1], node


INLINE: dict[str, Callable[[np.ndarray], Any]] = {
    "a product": lambda h: h * 2,
    "a difference": lambda h: h - 1,
    "a matrix product": lambda h: h @ h.T,
    "a slice": lambda h: h[:1],
    "a reshape": lambda h: h.reshape(-1),
    "a transpose": lambda h: h.T,
    "a copy": lambda h: h.copy(),
    "a sum": lambda h: np.sum(h),
    "a mean": lambda h: h.mean(),
    "a concatenation": lambda h: np.concatenate([h, h]),
    "a choice": lambda h: np.where(h > 0, h, 0),
    "a number": lambda h: float(h.max()),
    "an entry": lambda h: h.item(0),
    "a list": lambda h: h.tolist(),
    "a truth value": lambda h: bool(h.any()),
    "a function": lambda h: np.exp(h),
}


@pytest.mark.parametrize("name", INLINE)
def test_what_the_record_cannot_see_is_refused_at_its_own_line(name: str) -> None:
    with recording() as tape:
        h = manual.relu(tape.give({"x": np.ones((2, 2))})["x"])
        with pytest.raises(UnrecordedOperationError, match=r"test_law\.py:\d+: "):
            INLINE[name](h)


def test_a_write_into_a_recorded_tensor_is_refused() -> None:
    with recording() as tape:
        h = manual.relu(tape.give({"x": np.ones((2, 2))})["x"])
        with pytest.raises((ValueError, UnrecordedOperationError)):
            h[0, 0] = 3
        with pytest.raises((ValueError, UnrecordedOperationError)):
            h += 1


def test_a_sum_is_recorded_as_an_operation() -> None:
    with recording() as tape:
        at = tape.give({"x": np.ones((2, 2)), "y": np.ones((2, 2))})
        made = {"h": at["x"] + at["y"]}
        (node,) = forward_nodes(tape, made)
    assert (node.operation, node.inputs, node.outputs) == ("add", ("x", "y"), ("h",))
    assert node.line.startswith("test_law.py:")


def test_strangers_are_refused_by_name() -> None:
    @operation
    def double(z: np.ndarray, *, by: float = 2.0) -> np.ndarray:
        return by * z

    with recording() as tape:
        x = tape.give({"x": np.ones((2, 2))})["x"]
        with pytest.raises(UnrecordedOperationError, match="z of double was made by no recorded"):
            double(np.ones((2, 2)))
        with pytest.raises(UnrecordedOperationError, match="option by of double is a ndarray"):
            double(x, by=np.ones(()))  # type: ignore[arg-type]
        with pytest.raises(UnrecordedOperationError, match="h was made by no recorded operation"):
            forward_nodes(tape, {"h": np.ones(2)})
        h = double(x)
        with pytest.raises(UnrecordedOperationError, match="a and h are the same tensor"):
            forward_nodes(tape, {"h": h, "a": h})


def test_outside_a_recording_nothing_is_watched() -> None:
    x = np.ones((2, 3))
    assert type(manual.relu(x)) is np.ndarray
    with recording() as tape:
        tape.give({"x": x})
    assert type(manual.relu(x) * 2) is np.ndarray


@pytest.mark.parametrize("seed", range(60))
def test_the_law_run_as_autograd_is_torchs(seed: int) -> None:
    """Random graphs of sums, scales and activations, tensors read any number of times: the law's
    backward by hand against torch.autograd."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(4, 3)), rng.integers(0, 3, 4)
    W = rng.normal(size=(3, 3))
    b = rng.normal(size=3)
    plan = [
        (str(rng.choice(["linear", "tanh", "add", "scale", "gelu"])), rng.integers(0, 99, 2))
        for _ in range(int(rng.integers(3, 9)))
    ]
    with recording() as tape:
        at = tape.give({"x": x, "W": W, "b": b, "y": y})
        made = {"h0": manual.linear(at["x"], at["W"], at["b"])}
        for i, (name, (first, second)) in enumerate(plan, start=1):
            h, g = (list(made.values())[int(k) % i] for k in (first, second))
            made[f"h{i}"] = {
                "linear": lambda h=h: manual.linear(h, at["W"], at["b"]),
                "tanh": lambda h=h: manual.tanh(h),
                "gelu": lambda h=h: manual.gelu(h),
                "scale": lambda h=h: manual.scale(h, factor=-0.7),
                "add": lambda h=h, g=g: h + g,
            }[name]()
        made["loss"] = manual.cross_entropy(list(made.values())[-1], at["y"])
        forward = forward_nodes(tape, made)
    known: dict[str, Any] = {"x": x, "W": W, "b": b, "y": y}
    nodes = (*forward, *backward_nodes(forward, ["W", "b"], manual.MODULE_PATHS))
    for node in nodes:
        known |= dict(
            zip(node.outputs, apply(node, FUNCTIONS, [known[n] for n in node.inputs]), strict=True)
        )
    tW, tb = (torch.tensor(a, requires_grad=True) for a in (W, b))
    hs = [torch.tensor(x) @ tW.T + tb]
    for i, (name, (first, second)) in enumerate(plan, start=1):
        h, g = hs[int(first) % i], hs[int(second) % i]
        hs.append(
            {
                "linear": lambda h=h: h @ tW.T + tb,
                "tanh": lambda h=h: torch.tanh(h),
                "gelu": lambda h=h: torch.nn.functional.gelu(h),
                "scale": lambda h=h: -0.7 * h,
                "add": lambda h=h, g=g: h + g,
            }[name]()
        )
    torch.nn.functional.cross_entropy(hs[-1], torch.tensor(y)).backward()
    for name, p in (("W", tW), ("b", tb)):
        assert p.grad is not None
        size = max(float(p.grad.abs().max()), 1e-300)
        gap = np.abs(known[f"{name}.grad"] - p.grad.numpy()).max()
        assert gap <= 1e-12 * size, f"seed {seed}"
