"""The hand-written side alone, on small numbers: torch's defaults, shapes, names, penalties."""

import dataclasses
import importlib
import math
import pkgutil
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from torch_parity import manual
from torch_parity.manual.losses.reduction import reduce, scale
from torch_parity.manual.models.char_lstm import CharLSTM
from torch_parity.manual.models.convnet import ConvNet
from torch_parity.manual.models.gpt import GPT
from torch_parity.manual.models.residual import Residual
from torch_parity.manual.models.resnet import ResNet
from torch_parity.manual.models.step import (
    Attends,
    KeepsStatistics,
    example_labels,
    gradients_of_the_cost,
)
from torch_parity.manual.operations import find

rng = np.random.default_rng(21)
W, DW = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))


def values() -> list[type]:
    """Every dataclass of manual/ but those that are written into while they record."""
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(manual.__path__, "torch_parity.manual.")
    ]
    things = dict.fromkeys(t for m in modules for t in vars(m).values() if isinstance(t, type))
    return [c for c in things if dataclasses.is_dataclass(c) and c.__name__ not in ("Tape", "Step")]


def test_values_cannot_be_changed() -> None:
    frozen = {c.__name__: c.__dataclass_params__.frozen for c in values()}  # type: ignore[attr-defined]
    assert {"MLP", "Residual", "Adam", "Diagnosis", "Uncertain", "Call", "Names"} <= set(frozen)
    assert all(frozen.values()), frozen


def test_what_a_model_has_can_be_asked() -> None:
    """isinstance tells attention and running statistics, which not all models have."""
    images = ResNet((64, 2, 3, 4, 10), sample_shape=(1, 8, 8))
    shown = [manual.MLP((2, 3, 1)), GPT((6, 8, 2, 4, 9)), images]
    assert [isinstance(net, Attends) for net in shown] == [False, True, False]
    assert [isinstance(net, KeepsStatistics) for net in shown] == [False, False, True]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (manual.Adam(0.1), lambda p: torch.optim.Adam([p], lr=0.1)),
        (manual.Momentum(0.1), lambda p: torch.optim.SGD([p], lr=0.1, momentum=0.9)),
        (manual.SGD(0.1), lambda p: torch.optim.SGD([p], lr=0.1)),
    ],
)
def test_optimizers_have_torchs_defaults(ours: Any, theirs: Any) -> None:
    """Adam's are 0.9, 0.999, 1e-8; the course's momentum is 0.9. A tiny gradient shows epsilon."""
    p = torch.nn.Parameter(torch.tensor(W))
    optimizer, at, slots = theirs(p), W, ours.initial(W)
    for size in (1e-8, 1.0, 0.3):
        p.grad = torch.tensor(size * DW)
        optimizer.step()
        at, *slots = ours.update(at, size * DW, *slots)
        np.testing.assert_allclose(at, p.detach().numpy(), rtol=1e-12)


def test_small_weights_are_a_hundredth_by_default() -> None:
    a, b = (np.random.default_rng(3) for _ in range(2))
    assert np.array_equal(manual.normal(a, (2, 3)), 0.01 * b.standard_normal((2, 3)))
    assert manual.zeros(a, (2, 3)).shape == (2, 3)


def test_activations_have_torchs_defaults() -> None:
    z = np.array([[-2.0, 0.5, 1.5]])
    t = torch.tensor(z, requires_grad=True)
    for ours, theirs in (("leaky_relu", F.leaky_relu), ("gelu", F.gelu)):
        forward, backward = find(ours)
        np.testing.assert_allclose(forward(z), theirs(t).detach().numpy(), rtol=1e-14)
        (slope,) = torch.autograd.grad(theirs(t).sum(), t)
        np.testing.assert_allclose(backward(np.ones_like(z), z), slope.numpy(), rtol=1e-14)


@pytest.mark.parametrize("model", ["MLP", "Residual", "ConvNet", "ResNet", "GPT", "CharLSTM"])
def test_models_have_torchs_defaults(model: str) -> None:
    """Of the activations' options and of the loss; nothing is penalised unless it is asked for."""
    kind = getattr(manual, model)
    fields = {f.name: f.default for f in dataclasses.fields(kind)}
    expected = {
        "negative_slope": torch.nn.LeakyReLU().negative_slope,
        "approximate": torch.nn.GELU().approximate,
        "reduction": torch.nn.CrossEntropyLoss().reduction,
        "loss": "cross_entropy",
        "activation": "relu",
        "output": "identity",
        "l1": 0.0,
        "l2": 0.0,
        "m": 1,
        "share": 1.0,
        "branch_scale": 1.0,
        "training": True,
        "bias": True,
    }
    found = {name: value for name, value in fields.items() if value is not dataclasses.MISSING}
    assert found == {name: expected[name] for name in found}


def test_a_network_without_biases_has_torchs_gradients() -> None:
    net = manual.MLP((3, 4, 2, 5), bias=False)
    drawn = np.random.default_rng(3)
    params = {f"W{i}": drawn.normal(size=s) for i, s in enumerate(((4, 3), (2, 4), (5, 2)), 1)}
    x, y = net.example(drawn, 6)
    g = net.backward(params, net.forward(params, x, {}), y, {})
    assert {"dh1", "dh2", "dW1", "dW2", "dW3"} <= set(g)
    leaves = {n: torch.tensor(p, requires_grad=True) for n, p in params.items()}
    h = torch.tensor(x)
    for i in (1, 2):
        h = (h @ leaves[f"W{i}"].T).relu()
    F.cross_entropy(h @ leaves["W3"].T, torch.tensor(y)).backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        np.testing.assert_allclose(g[f"d{name}"], leaf.grad, rtol=1e-12, atol=1e-15)


def test_losses_are_means_by_default() -> None:
    a, y = (
        np.array([[0.2, 0.7, 0.9], [0.4, 0.1, 0.6]]),
        np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]),
    )
    pairs: list[tuple[str, np.ndarray, Any]] = [
        ("mse_loss", y, F.mse_loss),
        ("binary_cross_entropy", y, F.binary_cross_entropy),
        ("binary_cross_entropy_with_logits", y, F.binary_cross_entropy_with_logits),
        ("cross_entropy", np.array([2, 0]), F.cross_entropy),
    ]
    for name, labels, theirs in pairs:
        forward, backward = find(name)
        t = torch.tensor(a, requires_grad=True)
        loss = theirs(t, torch.tensor(labels))
        loss.backward()
        assert forward(a, labels) == pytest.approx(loss.item(), rel=1e-14), name
        assert t.grad is not None
        np.testing.assert_allclose(backward(a, labels), t.grad.numpy(), rtol=1e-13, err_msg=name)


def test_reductions() -> None:
    """Losses of 2 samples with 3 entries each."""
    losses = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]])
    assert [reduce(losses, r) for r in ("mean", "sum", "batchmean")] == [4.0, 24.0, 12.0]
    assert [scale(r, (2, 3)) for r in ("mean", "sum", "batchmean")] == [1 / 6, 1.0, 0.5]
    assert reduce(losses, "none") is losses


def test_dropout_of_nothing_and_of_the_next_thing_to_all() -> None:
    draws = np.random.default_rng(5).random((4, 5))
    mask = manual.dropout_mask(np.random.default_rng(5), (4, 5), 0.75)
    assert np.array_equal(mask, np.where(draws >= 0.75, 4.0, 0.0))
    assert mask.dtype == np.float64
    assert np.array_equal(manual.dropout_mask(rng, (2, 3), 0.0), np.ones((2, 3)))
    with pytest.raises(ValueError, match="mask has shape"):
        manual.dropout_backward(np.ones((3, 5)), np.ones(5))


def test_a_sum_hands_back_what_was_broadcast() -> None:
    """(2, 3) + (3,), + (2, 1), + (1, 1, 3), + itself: torch sums over what was repeated."""
    for shape in ((3,), (2, 1), (1, 3), (2, 3), (1,), (1, 2, 3), (4, 2, 3), (4, 1, 1)):
        a, b = rng.normal(size=(2, 3)), rng.normal(size=shape)
        dout = rng.normal(size=(a + b).shape)
        ta, tb = (torch.tensor(t, requires_grad=True) for t in (a, b))
        (ta + tb).backward(torch.tensor(dout))
        for mine, theirs in zip(manual.add_backward(dout, a, b), (ta.grad, tb.grad), strict=True):
            assert theirs is not None
            assert mine.shape == tuple(theirs.shape), shape
            np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-14)
            assert not np.shares_memory(mine, dout)


def test_erf_in_long_double() -> None:
    """SciPy has none: the value of float64, in either kind of number."""
    z = np.array([[-0.5, 1.25]])
    exact = [0.5 * t * (1 + math.erf(t / math.sqrt(2))) for t in z[0]]
    for dtype in (np.float64, np.longdouble, np.complex128, np.clongdouble):
        a = manual.gelu(z.astype(dtype))
        np.testing.assert_allclose(a[0].astype(complex), exact, rtol=1e-15)
        assert np.iscomplexobj(a) == (np.dtype(dtype).kind == "c")
    step = manual.gelu(z.astype(np.clongdouble) + 1e-100j).imag / 1e-100
    np.testing.assert_allclose(step.astype(float), manual.gelu_backward(np.ones((1, 2)), z), 1e-14)


MLP = manual.MLP((5, 4, 3, 2))
RESIDUAL = manual.Residual((5, 4, 3, 6, 2))


def test_a_chain() -> None:
    assert (MLP.depth, MLP.result) == (3, "a3")
    assert MLP.shapes() == {
        "W1": (4, 5), "b1": (4,), "W2": (3, 4), "b2": (3,), "W3": (2, 3), "b3": (2,)
    }  # fmt: skip
    assert list(manual.MLP((5, 4, 2), bias=False).shapes().items()) == [
        ("W1", (4, 5)),
        ("W2", (2, 4)),
    ]
    assert MLP.shapes_of_masks(7) == {"mask1": (7, 4), "mask2": (7, 3)}
    assert manual.weights_of(MLP) == ["W1", "W2", "W3"]


def test_a_residual_network() -> None:
    shapes = {
        "stem": (4, 5),
        "blocks.0.fc1": (3, 4),
        "blocks.0.fc2": (4, 3),
        "blocks.1.fc1": (6, 4),
        "blocks.1.fc2": (4, 6),
        "head": (2, 4),
    }
    expected = {f"{n}.weight": s for n, s in shapes.items()}
    expected |= {f"{n}.bias": s[:1] for n, s in shapes.items()}
    assert RESIDUAL.shapes() == expected
    assert RESIDUAL.blocks == ["blocks.0", "blocks.1"]
    masks = {"blocks.0.drop.mask": (7, 3), "blocks.1.drop.mask": (7, 6)}
    assert RESIDUAL.shapes_of_masks(7) == masks
    assert manual.weights_of(RESIDUAL) == [f"{n}.weight" for n in shapes]
    manual.Residual((5, 4, 3, 2))
    with pytest.raises(ValueError, match="at least one block"):
        manual.Residual((5, 4, 2))


@pytest.mark.parametrize("kind", [manual.MLP, manual.Residual])
def test_what_a_model_is_without_being_told(kind: Any) -> None:
    told = {
        "activation": "relu",
        "output": "identity",
        "loss": "cross_entropy",
        "reduction": "mean",
        "negative_slope": 0.01,
        "approximate": "none",
        "l1": 0.0,
        "l2": 0.0,
        "m": 1,
        "share": 1.0,
    }
    told |= {"bias": True} if kind is manual.MLP else {"branch_scale": 1.0}
    assert dataclasses.asdict(kind((5, 4, 3, 2))) == {"sizes": (5, 4, 3, 2), **told}


@pytest.mark.parametrize("net", [MLP, RESIDUAL])
def test_an_example_fits(net: Any) -> None:
    x, y = net.example(np.random.default_rng(0), 50)
    assert (x.shape, y.shape) == ((50, 5), (50,))
    assert set(y) == {0, 1}
    mse = dataclasses.replace(net, loss="mse_loss")
    x, y = mse.example(np.random.default_rng(0), 50)
    assert (x.shape, y.shape, y.dtype) == ((50, 5), (50, 2), np.float64)
    assert set(y.ravel()) == {0.0, 1.0}
    assert set(example_labels("cross_entropy", np.random.default_rng(0), 99, 4)) == {0, 1, 2, 3}


def test_the_options_of_an_activation_reach_it() -> None:
    x = np.array([[-1.0, 2.0]])
    params = {"W1": np.eye(2), "b1": np.zeros(2), "W2": np.eye(2), "b2": np.zeros(2)}
    net = manual.MLP((2, 2, 2), activation="leaky_relu", negative_slope=0.25)
    assert np.array_equal(manual.forward(net, params, x, {})["a2"], [[-0.25, 2.0]])
    net = manual.MLP((2, 2, 2), activation="gelu", approximate="tanh")
    expected = F.gelu(torch.tensor(x), approximate="tanh").numpy()
    np.testing.assert_allclose(manual.forward(net, params, x, {})["a2"], expected, rtol=1e-14)


def test_the_options_of_an_activation_reach_a_convnet() -> None:
    net = ConvNet((36, 2, 3, 4), sample_shape=(1, 6, 6), activation="leaky_relu")
    steep = dataclasses.replace(net, negative_slope=0.25)
    tanh = dataclasses.replace(net, activation="gelu", approximate="tanh")
    erf = dataclasses.replace(tanh, approximate="none")
    z = np.array([[-1.0, 2.0]])
    for kind, expected in (
        (net, F.leaky_relu(torch.tensor(z))),
        (steep, F.leaky_relu(torch.tensor(z), 0.25)),
        (tanh, F.gelu(torch.tensor(z), approximate="tanh")),
        (erf, F.gelu(torch.tensor(z))),
    ):
        forward, _ = kind._activation(kind.activation)
        np.testing.assert_allclose(forward(z), expected, rtol=1e-14)


@pytest.mark.parametrize("sides", [(3, 8), (8, 3)])
def test_a_convnets_images_are_at_least_four_by_four(sides: tuple[int, int]) -> None:
    ConvNet((32, 2, 3, 4), sample_shape=(1, 4, 8))
    with pytest.raises(ValueError, match="at least 4 by 4"):
        ConvNet((24, 2, 3, 4), sample_shape=(1, *sides))


def test_what_a_convnet_drops_has_no_gradient() -> None:
    drawn = np.random.default_rng(4)
    net = ConvNet((64, 2, 3, 7, 10), sample_shape=(1, 8, 8))
    params = {n: drawn.normal(size=s) for n, s in net.shapes().items()}
    x, y = net.example(drawn, 5)
    masks = {n: (drawn.random(s) < 0.6) / 0.6 for n, s in net.shapes_of_masks(5).items()}
    g = net.backward(params, net.forward(params, x, masks), y, masks)
    (name,) = masks
    layer = name.removesuffix(".drop.mask")
    assert np.array_equal(g[f"{layer}.act.grad"], g[f"{layer}.drop.grad"] * masks[name])
    assert g[f"{layer}.drop.grad"].any()


def test_nothing_is_split_into_one_part_of_nothing() -> None:
    parts = manual.split(np.zeros((0, 3)), split_size=2, dim=0)
    assert [p.shape for p in parts] == [tuple(t.shape) for t in torch.zeros(0, 3).split(2)]


def test_each_layer_may_have_its_own_activation() -> None:
    """-1 through tanh, then through relu; the output is the sigmoid's."""
    params = {
        f"{n}{k}": np.ones((1, 1)) if n == "W" else np.zeros(1) for n in "Wb" for k in (1, 2, 3)
    }
    net = manual.MLP((1, 1, 1, 1), activation="tanh,relu", output="sigmoid")
    t = manual.forward(net, params, np.array([[-1.0], [0.5]]), {})
    np.testing.assert_allclose(t["a1"], np.tanh([[-1.0], [0.5]]), rtol=1e-15)
    np.testing.assert_allclose(t["a2"], [[0.0], [math.tanh(0.5)]], rtol=1e-15)
    np.testing.assert_allclose(t["a3"], [[0.5], [1 / (1 + math.exp(-math.tanh(0.5)))]], rtol=1e-15)


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (3.0, 0.0), (0.0, 5.0), (3.0, 5.0)])
@pytest.mark.parametrize("net", [MLP, RESIDUAL])
def test_the_penalty_by_hand(net: Any, l1: float, l2: float) -> None:
    """l1 / 2m of the absolute values and l2 / 2m of the squares of the weights; m = 4."""
    net = dataclasses.replace(net, l1=l1, l2=l2, m=4)
    params = {n: rng.normal(size=s) for n, s in net.shapes().items()}
    weights = manual.weights_of(net)
    found = manual.with_penalty(net, params, np.asarray(2.0))
    gradient = {n: rng.normal(size=s) for n, s in net.shapes().items()}
    made = gradients_of_the_cost(net, params, gradient)
    if not (l1 or l2):
        assert found == {"loss": 2.0}
        assert list(made) == [net.names.gradient(n) for n in params]
        return
    absolute = sum(np.abs(params[n]).sum() for n in weights)
    squares = sum((params[n] ** 2).sum() for n in weights)
    penalty = (l1 * absolute + l2 * squares) / 8
    assert found == {
        "loss": 2.0,
        "penalty": pytest.approx(penalty),
        "cost": pytest.approx(2 + penalty),
    }
    for n in params:
        more = (l1 / 8 * np.sign(params[n]) + l2 / 4 * params[n]) if n in weights else 0.0
        np.testing.assert_allclose(made[net.names.gradient(n)], gradient[n] + more, rtol=1e-13)
        kept = made.get(net.names.loss_gradient(n))
        assert (kept is gradient[n]) if n in weights else (kept is None)


def test_what_an_optimizer_remembers_is_named_for_its_parameter() -> None:
    params = {n: np.ones(s) for n, s in manual.MLP((3, 2)).shapes().items()}
    state = manual.initial_state(manual.Adam(0.1), params, manual.COURSE)
    assert list(state) == ["tW1", "vW1", "sW1", "tb1", "vb1", "sb1"]
    assert [a.shape for a in state.values()] == [(), (2, 3), (2, 3), (), (2,), (2,)]
    assert not any(a.any() for a in state.values())
    g = {"dW1": np.full((2, 3), 2.0), "db1": np.full(2, 4.0)}
    new = manual.update(
        manual.Momentum(0.5, 0.5),
        params,
        g,
        {"vW1": params["W1"], "vb1": params["b1"]},
        manual.COURSE,
    )
    assert list(new) == ["vW1", "W1", "vb1", "b1"]
    assert [float(a.flat[0]) for a in new.values()] == [2.5, -0.25, 4.5, -1.25]
    paths = manual.MODULE_PATHS
    assert (paths.gradient("a"), paths.loss_gradient("a"), paths.slot("v", "a")) == (
        "a.grad", "a.loss.grad", "a.v"
    )  # fmt: skip


def test_a_name_that_is_no_operation() -> None:
    for name in ("nothing", "not a name", "os"):
        with pytest.raises(KeyError, match="no operation"):
            find(name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = manual.nothing
    assert manual.linear_no_bias_backward is manual.__getattr__("linear_no_bias_backward")
    assert manual.__getattr__("tanh") is manual.tanh


def test_weights_of_ranks() -> None:
    assert manual.shares((3, 1), "mean") == [0.75, 0.25]
    assert manual.shares((3, 1), "batchmean") == [0.75, 0.25]
    parts = [np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.array([100.0, 200.0])]
    assert np.array_equal(manual.all_reduce(parts, [1.0, 0.5, 0.25]), [31.0, 62.0])
    assert np.array_equal(manual.all_reduce(parts[:1], [2.0]), [2.0, 4.0])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        manual.all_reduce(parts, [1.0])


DESCRIBED = {
    manual.MLP((4, 3, 2)): "network 4-3-2 (relu, identity output)",
    Residual((4, 3, 5, 2)): "residual network: 4 inputs, width 3, blocks of inner width 5, "
    "2 outputs (relu, identity output)",
    ConvNet((64, 2, 3, 7, 10), sample_shape=(1, 8, 8)): "convolutional network: images of 1x8x8, "
    "2 and 3 channels, layers of width 7, 10 outputs (relu, identity output)",
    ResNet((64, 2, 3, 4, 10), sample_shape=(1, 8, 8)): "residual network of convolutions: images "
    "of 1x8x8, 2 channels, blocks of 3, 4 channels, 10 outputs (relu, identity output)",
    CharLSTM((6, 3, 4, 9)): "LSTM of 4 units: sequences of 6 characters, 9 different ones, "
    "embedding of width 3",
    GPT((6, 8, 2, 4, 9)): "GPT: sequences of 6 characters, 9 different ones, width 8, heads of "
    "each block 2, 4 (gelu)",
}


@pytest.mark.parametrize("model", DESCRIBED, ids=lambda model: type(model).__name__)
def test_a_model_says_what_it_is(model: Any) -> None:
    assert model.description == DESCRIBED[model]


@pytest.mark.parametrize("outside", [-0.5, 1.5])
def test_no_probability_lies_outside_of_0_and_1(outside: float) -> None:
    a, y = np.array([[0.3], [outside]]), np.array([[1.0], [0.0]])
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        find("binary_cross_entropy")[0](a, y)
