"""Activations that are easy to get wrong: published vectors, corners, and the pair that trains with
each."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.drawn import case_and_data, steps
from torch_parity import manual
from torch_parity.compare.judge.judge import judge

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

# ONNX's node tests give these inputs; the outputs are those of the definition that stands beside
# each, to seven digits, as the ONNX specification prints them.
PUBLISHED: dict[str, tuple[dict[str, Any], list[float], list[float]]] = {
    # test_elu_example: alpha = 2
    "elu": ({"alpha": 2.0}, [-1.0, 0.0, 1.0], [-1.2642411, 0.0, 1.0]),
    # test_softplus_example: ln(e^x + 1)
    "softplus": ({}, [-1.0, 0.0, 1.0], [0.31326166, 0.6931472, 1.3132616]),
    # test_softmax_example and test_logsoftmax_example_1, of one row
    "softmax": ({}, [-1.0, 0.0, 1.0], [0.09003057, 0.24472848, 0.66524094]),
    "log_softmax": ({}, [-1.0, 0.0, 1.0], [-2.4076061, -1.407606, -0.407606]),
}


@both_dtypes
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_vectors(name: str, dtype: str) -> None:
    options, z, a = PUBLISHED[name]
    made = getattr(manual, name)(np.array([z], dtype), **options)
    np.testing.assert_allclose(made, [a], rtol=2e-7, atol=0)


# ONNX's large numbers: test_softmax_large_number, test_logsoftmax_large_number
LARGE = [[0.0, 1.0, 2.0, 3.0], [10000.0, 10001.0, 10002.0, 10003.0]]
LARGE_SOFTMAX = [0.032058604, 0.08714432, 0.23688284, 0.6439143]
LARGE_LOG_SOFTMAX = [-3.4401896, -2.4401896, -1.4401896, -0.44018966]


@both_dtypes
def test_published_vectors_of_large_numbers(dtype: str) -> None:
    z = np.array(LARGE, dtype)
    np.testing.assert_allclose(manual.softmax(z), [LARGE_SOFTMAX] * 2, rtol=2e-7)
    np.testing.assert_allclose(manual.log_softmax(z), [LARGE_LOG_SOFTMAX] * 2, rtol=2e-7)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_softmax_along_every_axis_is_onnxs(dim: int) -> None:
    """test_softmax_axis_0 and its five like: |x| of (3, 4, 5), and ONNX's definition in NumPy."""
    x = np.abs(np.random.default_rng(0).normal(size=(3, 4, 5)))
    tmp = np.exp(x - np.max(x, axis=dim, keepdims=True))
    s = np.sum(tmp, axis=dim, keepdims=True)
    np.testing.assert_allclose(manual.softmax(x, dim=dim), tmp / s, rtol=1e-15)
    log_s = (x - np.max(x, axis=dim, keepdims=True)) - np.log(s)
    np.testing.assert_allclose(manual.log_softmax(x, dim=dim), log_s, rtol=1e-14)


@pytest.mark.parametrize(("name", "twin"), [("silu", F.silu), ("elu", F.elu), ("gelu", F.gelu)])
def test_slope_at_zero_is_torchs(name: str, twin: Any) -> None:
    z = np.array([[0.0, -0.0]])
    options = {"alpha": 0.3} if name == "elu" else {}
    t = torch.tensor(z, requires_grad=True)
    twin(t, **options).backward(torch.ones(1, 2, dtype=torch.float64))
    assert t.grad is not None
    ours = getattr(manual, f"{name}_backward")(np.ones((1, 2)), z, **options)
    assert np.array_equal(ours, t.grad.numpy())


@both_dtypes
@pytest.mark.parametrize("name", ["silu", "elu", "softplus", "log_softmax"])
def test_hundreds_neither_overflow_nor_become_nan(name: str, dtype: str) -> None:
    z = np.array([[-800.0, 750.0, 20.5, 0.0]], dtype)
    twin = {"log_softmax": lambda t: F.log_softmax(t, 1)}.get(name, getattr(F, name))
    t = torch.tensor(z, requires_grad=True)
    made = twin(t)
    made.sum().backward()
    assert t.grad is not None
    f = np.finfo(dtype)
    close = {"rtol": 8 * f.eps, "atol": 800 * float(f.tiny)}  # torch's e^800 is infinite
    np.testing.assert_allclose(getattr(manual, name)(z), made.detach().numpy(), **close)
    ours = getattr(manual, f"{name}_backward")(np.ones_like(z), z)
    np.testing.assert_allclose(ours, t.grad.numpy(), **close)


def test_softplus_is_linear_above_its_threshold() -> None:
    """z itself, not z + 2e-9, as in torch: where beta z > threshold, not where they are equal."""
    z = np.array([[20.0, 20.1]])
    assert np.array_equal(manual.softplus(z), F.softplus(torch.tensor(z)).numpy())
    assert manual.softplus(z)[0, 1] == 20.1
    assert manual.softplus(z)[0, 0] != 20.0
    assert np.array_equal(
        manual.softplus_backward(np.ones((1, 2)), z)[0], [1 / (1 + np.exp(-20)), 1]
    )


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("activation", ["silu", "elu", "softplus", "log_softmax"])
def test_the_pair_trains_with_it_and_a_wrong_slope_is_blamed(activation: str, dtype: str) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        fixed = {"hidden": (6, 5), "loss": "mse_loss", "output": "identity", "lr": 1e-3}
        case, data = case_and_data(seed, activation=activation, dtype=dtype, **fixed)
        r = steps(case, data)[-1]
        where = f"{activation}, {dtype}, seed {seed}"
        assert judge(r.nodes, r.start, r.manual, r.torch, always_replay=True).passed, where
        node = next(n for n in r.nodes if n.operation == f"{activation}_backward")
        (name,) = node.outputs
        wrong = r.manual[name].copy()
        worst = np.unravel_index(np.abs(wrong.astype(float)).argmax(), wrong.shape)
        wrong[worst] = wrong[worst] * wrong.dtype.type(1.5)
        j = judge(r.nodes, r.start, {**r.manual, name: wrong}, r.torch, always_replay=True)
        assert j.root is not None, where
        assert (j.root.side, j.root.found.name) == ("manual", name), where
