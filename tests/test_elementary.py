"""Elementary operations: ONNX's published vectors, torch's broadcasting, and graphs of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from torch_parity import manual
from torch_parity.compare.causes.plant import execute
from torch_parity.compare.flow.functions import FUNCTIONS, apply
from torch_parity.compare.flow.law import backward_nodes, forward_nodes
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.replay import recorded_inputs, replay_stretch
from torch_parity.compare.judge.witness import exact_derivative
from torch_parity.compare.sources.files.trace_file import load, save
from torch_parity.manual.recording import recording

COUNTED = [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [11, 12]]]
PAIRS = [[[5, 1], [20, 2]], [[30, 1], [40, 2]], [[55, 1], [60, 2]]]

# The inputs and outputs of ONNX's node tests, as the specification prints them.
PUBLISHED: list[tuple[str, list[Any], dict[str, Any], list[Any]]] = [
    ("sub", [[1, 2, 3], [3, 2, 1]], {}, [[-2, 0, 2]]),
    ("mul", [[1, 2, 3], [4, 5, 6]], {}, [[4, 10, 18]]),
    ("div", [[3, 4], [1, 2]], {}, [[3, 2]]),
    ("pow", [[1, 2, 3]], {"exponent": 2}, [[1, 4, 9]]),
    ("exp", [[-1, 0, 1]], {}, [[0.36787944, 1, 2.71828183]]),
    ("log", [[1, 10]], {}, [[0, 2.30258509]]),
    ("sum", [COUNTED], {"dim": 1}, [[[4, 6], [12, 14], [20, 22]]]),
    ("sum", [COUNTED], {"dim": 1, "keepdim": True}, [[[[4, 6]], [[12, 14]], [[20, 22]]]]),
    ("sum", [COUNTED], {"keepdim": True}, [[[[78]]]]),
    ("sum", [COUNTED], {"dim": -2, "keepdim": True}, [[[[4, 6]], [[12, 14]], [[20, 22]]]]),
    ("mean", [PAIRS], {"dim": 1}, [[[12.5, 1.5], [35, 1.5], [57.5, 1.5]]]),
    ("mean", [PAIRS], {"keepdim": True}, [[[[18.25]]]]),
    ("mean", [PAIRS], {"dim": -2, "keepdim": True}, [[[[12.5, 1.5]], [[35, 1.5]], [[57.5, 1.5]]]]),
    ("amax", [PAIRS], {"dim": 1}, [[[20, 2], [40, 2], [60, 2]]]),
    ("amax", [PAIRS], {"keepdim": True}, [[[[60]]]]),
    ("amax", [PAIRS], {"dim": -2, "keepdim": True}, [[[[20, 2]], [[40, 2]], [[60, 2]]]]),
    ("cat", [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], {"dim": 0}, [[[1, 2], [3, 4], [5, 6], [7, 8]]]),
    ("cat", [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], {"dim": -1}, [[[1, 2, 5, 6], [3, 4, 7, 8]]]),
    ("split", [[1, 2, 3, 4, 5, 6]], {"split_size": 2}, [[1, 2], [3, 4], [5, 6]]),
    ("split", [[1, 2, 3, 4, 5, 6]], {"split_size": (2, 4)}, [[1, 2], [3, 4, 5, 6]]),
    ("split", [[1, 2, 3, 4, 5, 6, 7]], {"split_size": 2}, [[1, 2], [3, 4], [5, 6], [7]]),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "inputs", "options", "outputs"), PUBLISHED)
def test_published_vectors(
    name: str, inputs: list[Any], options: dict[str, Any], outputs: list[Any], dtype: str
) -> None:
    made = getattr(manual, name)(*(np.array(x, dtype) for x in inputs), **options)
    many = made if isinstance(made, tuple) else (made,)
    assert len(many) == len(outputs)
    for came, expected in zip(many, outputs, strict=True):
        assert came.dtype == dtype
        assert came.shape == np.shape(expected)
        np.testing.assert_allclose(came, expected, rtol=1e-7, atol=0)


SHAPES = [
    ((4, 5), (5,)), ((5,), (4, 5)), ((4, 1), (1, 5)), ((2, 1, 5), (4, 1)), ((), (3, 2)),
    ((3, 2), ()), ((1, 1), (1,)), ((3, 5), (3, 5)), ((0, 5), (5,)),
]  # fmt: skip


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_broadcasting_is_torchs(name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    against_torch(getattr(torch, name), name, shapes)


PRODUCTS = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)),
    ((2, 3), (3, 4)), ((2, 1, 3, 4), (5, 4, 2)), ((5, 4, 2), (2, 1, 2, 3)), ((2, 0), (0, 3)),
]  # fmt: skip


@pytest.mark.parametrize("shapes", PRODUCTS)
def test_products_of_any_dimensions_are_torchs(shapes: tuple[tuple[int, ...], ...]) -> None:
    against_torch(torch.matmul, "matmul", shapes)


def against_torch(twin: Any, name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.uniform(0.5, 2, shape) for shape in shapes]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = twin(*tensors)
    upstream = rng.normal(size=out.shape)
    out.backward(torch.tensor(upstream))
    close = {"rtol": 1e-13, "atol": 1e-14}
    np.testing.assert_allclose(getattr(manual, name)(*arrays), out.detach().numpy(), **close)
    gradients = getattr(manual, f"{name}_backward")(upstream, *arrays)
    for gradient, array, t in zip(gradients, arrays, tensors, strict=True):
        assert gradient.shape == array.shape
        assert t.grad is not None
        np.testing.assert_allclose(gradient, t.grad.numpy(), **close)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_equal_largest_entries_share_the_gradient_as_in_torch(dim: int | None) -> None:
    x = np.array([[2.0, 1.0, 2.0], [2.0, 2.0, 2.0]])
    t = torch.tensor(x, requires_grad=True)
    out = torch.amax(t, () if dim is None else dim)
    upstream = np.arange(1.0, 1 + out.numel()).reshape(out.shape)
    out.backward(torch.tensor(upstream))
    assert t.grad is not None
    np.testing.assert_array_equal(manual.amax_backward(upstream, x, dim=dim), t.grad.numpy())


def test_an_entry_that_is_taken_twice_gets_both_gradients() -> None:
    x, index = np.zeros((3, 2)), np.array([1, 1, 0])
    dout = np.array([[1.0, 2.0], [10.0, 20.0], [5.0, 6.0]])
    made = manual.index_select_backward(dout, x, index)
    np.testing.assert_array_equal(made, [[5, 6], [11, 22], [0, 0]])


def test_the_slope_of_the_power_0_is_0_at_0_as_in_torch() -> None:
    x = np.array([0.0, 2.0])
    assert np.array_equal(manual.pow(x, exponent=0.0), [1, 1])
    assert np.array_equal(manual.pow_backward(np.ones(2), x, exponent=0.0), [0, 0])


def test_a_permutation_is_undone_by_its_inverse() -> None:
    """(1, 2, 0) is not its own inverse, as a swap is."""
    x = np.arange(24.0).reshape(2, 3, 4)
    moved = manual.permute(x, dims=(1, 2, 0))
    assert moved.shape == (3, 4, 2)
    np.testing.assert_array_equal(manual.permute_backward(moved, dims=(1, 2, 0)), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: manual.split(x, split_size=(1, 1)), r"parts of \(1, 1\) along axis 0"),
        (lambda x: manual.split(x, split_size=(4, -1)), r"parts of \(4, -1\) along axis 0"),
        (lambda x: manual.split(x, split_size=-1), "along axis 0, which has 3 entries"),
        (lambda x: manual.split(x, split_size=0), "along axis 0, which has 3 entries"),
        (lambda x: manual.narrow(x, dim=0, start=2, length=2), "of 3 along axis 0"),
        (lambda x: manual.narrow(x, dim=0, start=-4, length=1), "of 3 along axis 0"),
        (lambda x: manual.narrow(x, dim=0, start=1, length=-1), "of 3 along axis 0"),
    ],
)
def test_parts_that_are_not_there_are_refused(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(np.zeros((3, 2)))


def attention(f: Any, x: Any, w: Any, index: Any) -> dict[str, Any]:
    """Two heads from elementary operations alone, all of them; tensors that are read twice."""
    t = {"rows": f.index_select(x, index, dim=0)}
    t["qkv"] = f.matmul(t["rows"], w)
    t["q"], t["k"], t["v"] = f.split(t["qkv"], split_size=4, dim=-1)
    for name in "qkv":
        t[f"{name}h"] = f.reshape(t[name], shape=(3, 2, 2))
        t[f"{name}t"] = f.permute(t[f"{name}h"], dims=(1, 0, 2))
    t["kT"] = f.permute(t["kt"], dims=(0, 2, 1))
    t["scores"] = f.matmul(t["qt"], t["kT"])
    t["top"] = f.amax(t["scores"], dim=-1, keepdim=True)
    t["shifted"] = f.sub(t["scores"], t["top"])
    t["e"] = f.exp(t["shifted"])
    t["total"] = f.sum(t["e"], dim=(-1,), keepdim=True)
    t["shares"] = f.div(t["shifted"], t["total"])
    t["heads"] = f.matmul(t["shares"], t["vt"])
    t["square"] = f.pow(t["heads"], exponent=2.0)
    t["mean"] = f.mean(t["square"], dim=0)
    t["some"] = f.narrow(t["mean"], dim=0, start=1, length=2)
    t["both"] = f.cat(t["some"], t["mean"], t["some"], dim=0)
    t["more"] = f.add(t["both"], f.mul(t["both"], t["both"]))
    t["positive"] = f.exp(t["more"])
    t["log"] = f.log(t["positive"])
    t["loss"] = f.mse_loss(t["log"], f.target)
    return t


class ByHand:
    """The hand-written operations."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(manual, name)


class InTorch:
    """torch's functions of the same names."""

    def __init__(self, target: Tensor) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        from torch_parity.torch_ref.operations import find

        return lambda *tensors, **options: find(name)(**options)(*tensors)


def drawn(seed: int, dtype: str = "float64") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"x": (4, 5), "w": (5, 12), "y": (7, 2)}
    given = {name: rng.normal(0, 0.4, shape).astype(dtype) for name, shape in shapes.items()}
    return given | {"index": np.array([2, 0, 2])}


def law(given: dict[str, np.ndarray]) -> tuple[Any, ...]:
    with recording() as tape:
        at = tape.give(given)
        made = attention(ByHand(at["y"]), at["x"], at["w"], at["index"])
        forward = forward_nodes(tape, made)
    return (*forward, *backward_nodes(forward, ["x", "w"], manual.MODULE_PATHS))


def made_by_hand(given: dict[str, np.ndarray]) -> tuple[Any, dict[str, np.ndarray]]:
    nodes, at = law(given), dict(given)
    for node in nodes:
        made = apply(node, FUNCTIONS, [at[name] for name in node.inputs])
        at |= dict(zip(node.outputs, made, strict=True))
    return nodes, {name: np.asarray(a) for name, a in at.items() if name not in given}


def made_in_torch(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor that has a name, and autograd's gradient of it."""
    x, w = (torch.tensor(given[name], requires_grad=True) for name in ("x", "w"))
    t = attention(InTorch(torch.tensor(given["y"])), x, w, torch.tensor(given["index"]))
    for tensor in t.values():
        tensor.retain_grad()
    t["loss"].backward()
    found = {name: tensor.detach().numpy() for name, tensor in t.items()}
    grads = {f"{n}.grad": a.grad for n, a in (t | {"x": x, "w": w}).items() if n != "loss"}
    return found | {n: g.numpy() for n, g in grads.items() if g is not None}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(5))
def test_a_graph_of_them_is_judged_and_a_mistake_is_found(seed: int, dtype: str) -> None:
    """Each tensor of both sides within the bound of its node, from what that side recorded; and the
    largest entry off by 1e-4 is not."""
    given = drawn(seed, dtype)
    nodes, by_hand = made_by_hand(given)
    for side, made in (("manual", by_hand), ("torch", made_in_torch(given))):
        known = recorded_inputs(given, made)
        for node in nodes:
            if not all(name in known for name in (*node.inputs, *node.outputs)):
                continue
            where = f"{node.operation} -> {node.outputs}, {side}, seed {seed}, {dtype}"
            assert all(r.right for r in replay_stretch((node,), known, made)), where
            for name in node.outputs:
                wrong = made[name].copy()
                worst = np.unravel_index(np.abs(wrong).argmax(), wrong.shape)
                wrong[worst] *= 1 + 1e-4
                found = replay_stretch((node,), known, {**made, name: wrong})
                assert not all(r.right for r in found), where


@pytest.mark.parametrize("side", ["manual", "torch"])
def test_mistakes_are_planted_on_either_side_of_it(side: str) -> None:
    """Executed node by node, in NumPy or by torch and autograd: right as it is, and the node at
    which an option is another one is the only one that is wrong."""
    given = drawn(2)
    nodes = law(given)
    planted = next(n for n in nodes if n.operation == "pow_backward")
    bent = replace(planted, options={"exponent": 3.0})
    for executed in (nodes, tuple(bent if n is planted else n for n in nodes)):
        made = execute(executed, given, side)
        known = recorded_inputs(given, made)
        wrong = {
            node
            for node in nodes
            if {*node.inputs, *node.outputs} <= known.keys()
            if not all(r.right for r in replay_stretch((node,), known, made))
        }
        assert wrong == ({planted} if bent in executed else set())


def test_a_part_that_nothing_reads_has_a_gradient_of_0() -> None:
    given = {"x": np.arange(6.0).reshape(2, 3), "y": np.ones((2, 1))}
    with recording() as tape:
        at = tape.give(given)
        t = dict(zip("abc", manual.split(at["x"], split_size=1, dim=1), strict=True))
        t["loss"] = manual.mse_loss(t["b"], at["y"])
        forward = forward_nodes(tape, t)
    known = dict(given)
    for node in (*forward, *backward_nodes(forward, ["x"], manual.MODULE_PATHS)):
        made = apply(node, FUNCTIONS, [known[name] for name in node.inputs])
        known |= dict(zip(node.outputs, made, strict=True))
    x = torch.tensor(given["x"], requires_grad=True)
    torch.nn.functional.mse_loss(x.split(1, 1)[1], torch.ones(2, 1).double()).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(known["x.grad"], x.grad.numpy())
    assert not known["a.grad#unread"].any()  # private: neither side has it


@pytest.mark.parametrize("seed", range(5))
def test_the_law_of_a_graph_of_them_is_torchs_autograd(seed: int) -> None:
    given = drawn(seed)
    nodes, by_hand = made_by_hand(given)
    in_torch = made_in_torch(given)
    compared = by_hand.keys() & in_torch.keys()
    assert {"x.grad", "w.grad", "qkv.grad", "both.grad", "scores.grad"} <= compared
    for name in compared:
        size = np.abs(in_torch[name]).max()
        gap = np.abs(by_hand[name] - in_torch[name]).max()
        assert gap <= 1e-12 * size, f"{name}, seed {seed}"
    known = given | by_hand
    seen = set()
    for node in nodes:
        for name in node.outputs:
            index = np.unravel_index(np.abs(by_hand[name]).argmax(), by_hand[name].shape)
            exact = exact_derivative(node, name, tuple(map(int, index)), known)
            if exact is not None:
                seen.add(node.operation)
                size = np.abs(by_hand[name]).max()
                assert abs(exact - by_hand[name][index]) <= 1e-11 * size, f"{name}, seed {seed}"
    assert {"split_backward", "cat_backward", "matmul_backward", "amax_backward"} <= seen


def test_a_trace_file_holds_a_graph_of_them(tmp_path: Any) -> None:
    given = drawn(1)
    nodes, by_hand = made_by_hand(given)
    path = tmp_path / "graph.safetensors"
    made = {name: a for name, a in by_hand.items() if "#" not in name}
    save(path, Trace(given, made, nodes), {})
    loaded = load(path)
    assert [(n.operation, n.inputs, n.outputs, dict(n.options)) for n in loaded.nodes] == [
        (n.operation, n.inputs, n.outputs, dict(n.options)) for n in nodes
    ]
    linked = [(n.forward and n.forward.outputs) for n in loaded.nodes]
    assert [n for n in linked if n] == [
        n.forward.outputs for n in nodes if n.forward and n.operation != "accumulate"
    ]
