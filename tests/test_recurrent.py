"""Operations on sequences: the course's printed numbers, ONNX's vectors, torch's modules."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from torch_parity import manual
from torch_parity.compare.causes import recurrent
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.judge.replay import replay
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.sources.one_operation import alone, nodes_of

Drawn = tuple[np.ndarray, ...]


def drawn(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """What the course's notebook draws: it seeds NumPy's first generator with 1."""
    rng = np.random.RandomState(1)
    return [rng.randn(*shape) for shape in shapes]


def close(came: Any, expected: Any) -> None:
    """Printed to eight digits after the point, or to twelve."""
    np.testing.assert_allclose(came, expected, rtol=1e-7, atol=6e-9)


# The first assignment of the fifth course, "Building your Recurrent Neural Network - Step by Step".
# Its columns are samples; sequences are (n, m, t) there.
RNN = ((5, 5), (5, 3), (2, 5), (5, 1))  # Waa, Wax, Wya, ba
ONE = ((5, 8), (5, 1))
LSTM = ONE * 4  # W and b of f, i, and then o and c, or c and o


def sequence(x: np.ndarray) -> np.ndarray:
    return x.transpose(1, 2, 0)


def test_the_courses_rnn_cell() -> None:
    x, a, Waa, Wax, _, ba = drawn((3, 10), (5, 10), *RNN)
    weights = manual.rnn_from_course(Wax, Waa, ba)
    assert not any(np.shares_memory(ours, own) for ours in weights for own in (Wax, Waa, ba))
    h = manual.rnn_cell(x.T, a.T, *weights)
    close(h[:, 4], [0.59584544, 0.18141802, 0.61311866, 0.99808218, 0.85016201, 0.99980978,
                    -0.18887155, 0.99815551, 0.6531151, 0.82872037])  # fmt: skip


def test_the_courses_rnn() -> None:
    """The notebook starts from its a of zeros, as its a0 is not used in the printed numbers."""
    x, a0, Waa, Wax, _, ba = drawn((3, 10, 4), (5, 10), *RNN)
    weights = manual.rnn_from_course(Wax, Waa, ba)
    for start in (a0, 0 * a0):
        output, last = manual.rnn(sequence(x), start.T, *weights)
        if np.allclose(output[1, :, 4], [-0.93013738, 0.991315, -0.98694298, -0.99723276]):
            break
    else:
        raise AssertionError(output[1, :, 4])
    assert np.array_equal(last, output[:, -1])


def lstm_weights(f: Drawn, i: Drawn, c: Drawn, o: Drawn) -> Any:
    return manual.lstm_from_course(*i, *f, *c, *o)


def test_the_courses_lstm_cell_and_its_backward() -> None:
    x, a, c, *W, _, _, da, dc = drawn(
        (3, 10), *((5, 10),) * 2, *LSTM, (2, 5), (2, 1), *((5, 10),) * 2
    )
    f, i, o, g = (tuple(W[k : k + 2]) for k in range(0, 8, 2))
    weights = lstm_weights(f, i, g, o)
    h, c_next = manual.lstm_cell(x.T, a.T, c.T, *weights)
    close(h[:, 4], [-0.66408471, 0.0036921, 0.02088357, 0.22834167, -0.85575339, 0.00138482,
                    0.76566531, 0.34631421, -0.00215674, 0.43827275])  # fmt: skip
    close(c_next[:, 2], [0.63267805, 1.00570849, 0.35504474, 0.20690913, -1.64566718, 0.11832942,
                         0.76449811, -0.0981561, -0.74348425, -0.26810932])  # fmt: skip
    dx, da_before, dc_before, dW_x, dW_a, db, _ = manual.lstm_cell_backward(
        da.T, dc.T, x.T, a.T, c.T, *weights
    )
    close(dx[2, 1], 3.23055911511)
    close(da_before[3, 2], -0.0639621419711)
    close(dc_before[3, 2], 0.797522038797)
    course = np.concatenate([dW_a, dW_x], axis=1)  # i, f, c, o
    close([course[5 + 3, 1], course[1, 2], course[10 + 3, 1], course[15 + 1, 2]],
          [-0.147954838164, 1.05749805523, 2.30456216369, 0.331311595289])  # fmt: skip
    close(db[4::5], [-0.40142491, 0.18864637, 0.25587763, 0.13893342])


def test_the_courses_lstm() -> None:
    x, a0, *W = drawn((3, 10, 7), (5, 10), *LSTM)
    f, i, o, g = (tuple(W[k : k + 2]) for k in range(0, 8, 2))
    for start in (a0, 0 * a0):
        output, _, _ = manual.lstm(sequence(x), start.T, 0 * start.T, *lstm_weights(f, i, g, o))
        if abs(output[3, 6, 4] - 0.17863063279) < 1e-10:
            return
    raise AssertionError(output[3, 6, 4])


# ONNX's node tests: all weights 0.1, all biases of the input 0.1, those of the state 0.
DEFAULTS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
BIASED = np.arange(1.0, 10.0).reshape(3, 3)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def onnx_lstm(z: np.ndarray) -> np.ndarray:
    return sigmoid(z) * np.tanh(sigmoid(z) * np.tanh(z))


def onnx_gru(z: np.ndarray) -> np.ndarray:
    return (1 - sigmoid(z)) * np.tanh(z)


@pytest.mark.parametrize(
    ("name", "hidden", "gates", "value"),
    [("lstm", (3, 4), 4, onnx_lstm), ("gru", (5, 3), 3, onnx_gru), ("rnn", (4, 5), 1, np.tanh)],
)
def test_onnx(name: str, hidden: tuple[int, int], gates: int, value: Callable[..., Any]) -> None:
    """test_lstm_defaults and test_lstm_with_initial_bias, and those of gru and simple_rnn: from a
    state of 0 every gate has the same number."""
    for x, n, bias in ((DEFAULTS, hidden[0], 0.0), (BIASED, hidden[1], 0.1)):
        states = [np.zeros((len(x), n))] * (2 if name == "lstm" else 1)
        output, last, *_ = getattr(manual, name)(
            x[:, None], *states, np.full((gates * n, x.shape[1]), 0.1),
            np.full((gates * n, n), 0.1), np.full(gates * n, bias), np.zeros(gates * n),
        )  # fmt: skip
        expected = value(0.1 * x.sum(axis=1) + bias)
        np.testing.assert_allclose(last, np.repeat(expected[:, None], n, axis=1), rtol=1e-14)
        assert np.array_equal(output[:, 0], last)


MODULES: dict[str, type[nn.Module]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torchs_module_is_judged(name: str, dtype: torch.dtype) -> None:
    """nn.LSTM and the like, 30 steps long, with its own parameters by its own names."""
    torch.manual_seed(4)
    row, steps, n = OPERATIONS[name], 30, 6
    module = MODULES[name](3, n, batch_first=True, dtype=dtype)  # type: ignore[call-arg]
    x = torch.randn(4, steps, 3, dtype=dtype, requires_grad=True)
    states = [torch.randn(1, 4, n, dtype=dtype, requires_grad=True) for _ in row.outputs[1:]]
    output, last = module(x, tuple(states) if name == "lstm" else states[0])
    last = last if name == "lstm" else (last,)
    arriving = [torch.randn_like(out) for out in (output, *last)]
    torch.autograd.backward([output, *last], arriving)
    given = [x, *states, *module.parameters()]
    assert [n for n, _ in module.named_parameters()] == [
        f"{n}_l0" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]

    def plain(t: torch.Tensor) -> np.ndarray:
        return t.detach()[0].numpy() if t.shape[0] == 1 else t.detach().numpy()

    start = dict(zip(row.inputs, map(plain, given), strict=True))
    start |= {f"d{n}": plain(d) for n, d in zip(row.outputs, arriving, strict=True)}
    made = dict(zip(row.outputs, map(plain, (output, *last)), strict=True))
    for name_, t in zip(row.inputs, given, strict=True):
        assert t.grad is not None
        made[f"d{name_}"] = plain(t.grad)
    found = replay(nodes_of(row, {}), start, made)
    assert {r.outcome for r in found} == {"right"}, found
    finest = 1e-11 if dtype == torch.float64 else 3e-3
    assert max(r.power for r in found) < finest
    for wrong in ("output", f"d{row.inputs[0]}", "dweight_hh", "dbias_ih"):
        bent = made | {wrong: made[wrong] * (1 + finest)}
        assert {r.name for r in replay(nodes_of(row, {}), start, bent) if r.wrong} >= {wrong}


def test_embedding_is_torchs() -> None:
    table = nn.Embedding(5, 3, padding_idx=-2, dtype=torch.float64)
    symbols = torch.tensor([[1, 4, 4], [3, 1, 4]])
    out = table(symbols)
    upstream = torch.randn_like(out)
    out.backward(upstream)
    weight = table.weight.detach().numpy()
    assert np.array_equal(manual.embedding(symbols.numpy(), weight, padding_idx=-2), out.detach())
    by_hand = manual.embedding_backward(upstream.numpy(), symbols.numpy(), weight, padding_idx=-2)
    assert table.weight.grad is not None
    np.testing.assert_allclose(by_hand, table.weight.grad.numpy(), rtol=1e-14)
    assert not by_hand[3].any()


@pytest.mark.parametrize("max_norm", [0.3, 1e3])
def test_clipping_is_torchs(max_norm: float) -> None:
    rng = np.random.default_rng(2)
    gradients = {"W": rng.normal(size=(4, 3)), "b": rng.normal(size=4)}
    parameters = [nn.Parameter(torch.tensor(g)) for g in gradients.values()]
    for p in parameters:
        p.grad = p.detach().clone()
    theirs = nn.utils.clip_grad_norm_(parameters, max_norm)
    clipped, norm = manual.clip_grad_norm(gradients, max_norm)
    np.testing.assert_allclose(norm, theirs.numpy(), rtol=1e-14)
    for mine, p in zip(clipped.values(), parameters, strict=True):
        assert p.grad is not None
        np.testing.assert_allclose(mine, p.grad.numpy(), rtol=1e-14)
    assert np.array_equal(clipped["W"], gradients["W"]) == (max_norm > 1)


x, h, W = np.ones((2, 3, 4)), np.ones((2, 5)), np.ones((20, 4))
U, b = np.ones((20, 5)), np.ones(20)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: manual.lstm(x, h, h, W[:15], U, b, b), r"weight_ih has shape \(15, 4\)"),
        (lambda: manual.lstm(x, h, h, W, U[:15], b, b), r"weight_hh has shape \(15, 5\)"),
        (lambda: manual.lstm(x, h, h[:1], W, U, b, b), r"c_0 has shape \(1, 5\)"),
        (lambda: manual.lstm(x, h[:1], h, W, U, b, b), r"h_0 has shape \(1, 5\)"),
        (lambda: manual.lstm(x[:, 0], h, h, W, U, b, b), r"expected \(m, t, n_in\)"),
        (lambda: manual.lstm(x[:, :0], h, h, W, U, b, b), r"expected \(m, t, n_in\)"),
        (
            lambda: manual.gru(x, h[:1], W[:15], U[:15], b[:15], b[:15]),
            r"gru: h_0 has shape \(1, 5\)",
        ),
        (lambda: manual.gru(x, h, W, U, b, b), r"gru: weight_hh has shape \(20, 5\)"),
        (lambda: manual.rnn(x, h[:, :1], W[:5], U[:5], b[:5], b[:5]), r"h_0 has shape \(2, 1\)"),
        (lambda: manual.lstm_cell(x[:, 0], h, h, W, U, b[:1], b), r"bias_ih has shape \(1,\)"),
        (
            lambda: manual.gru_cell(x[:, 0], h[:1], W[:15], U[:15], b[:15], b[:15]),
            r"gru_cell: h has shape \(1, 5\)",
        ),
        (
            lambda: manual.rnn_cell(x[:, 0], h[:1], W[:5], U[:5], b[:5], b[:5]),
            r"rnn_cell: h has shape \(1, 5\)",
        ),
        (lambda: manual.embedding(np.array([0.0]), W), "expected whole numbers"),
        (lambda: manual.embedding(np.array([20]), W), "symbols 20..20, expected 0..19"),
        (lambda: manual.embedding(np.array([-1]), W), "symbols -1..-1"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("number", range(len(recurrent.CAUSES)))
def test_a_mistake_through_time_is_named(number: int) -> None:
    """In its second form if it has one, on one side; tests/test_causes_alone.py has all of them."""
    cause, side = recurrent.CAUSES[number], SIDES[number % 2]
    way = min(1, len(cause.ways) - 1)
    for name in ("lstm_cell", "gru_cell", "lstm"):
        step = next(alone(OPERATIONS[name], seed=5))
        known = step.known_to(side, 1)
        nodes = plant(cause, step.nodes, known, step.trace(side), np.random.default_rng(1), way)
        if nodes is not None:
            break
    assert nodes is not None
    found = step.judge_instead(side, execute(nodes, known, side), 1)
    assert (found.wrong_sides, found.diagnoses[side].names) == (
        (side,),
        (frozenset({cause.name}),),
    ), f"{cause.name} in {name}"
