"""Bounded speaks NumPy: what only moves numbers moves their errors along, choices and in-place
writes do what NumPy does, and nothing loses the bound in silence."""

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from numpy.lib.stride_tricks import sliding_window_view

from torch_parity.compare.bounds.bounded import Bounded

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def uncertain(x: np.ndarray, error: Any) -> Bounded:
    """x, which may be off by error."""
    given = Bounded.exact(x)
    given.error[...] = error
    return given


def drawn(seed: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


LAYOUT: dict[str, Callable[[Any], Any]] = {
    "reshape": lambda x: x.reshape(4, 6),
    "reshape by a tuple and -1": lambda x: x.reshape((-1, 3)),
    "np.reshape": lambda x: np.reshape(x, (6, -1)),
    "ravel": lambda x: x.ravel(),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.transpose(2, 0, 1),
    "transpose by a tuple": lambda x: x.transpose((1, 0, 2)),
    "np.transpose": lambda x: np.transpose(x, (2, 1, 0)),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "swapaxes": lambda x: x.swapaxes(0, -1),
    "moveaxis": lambda x: np.moveaxis(x, 0, 2),
    "squeeze": lambda x: np.squeeze(x[:1], 0),
    "squeeze method": lambda x: x[:, :1].squeeze(axis=1),
    "expand_dims": lambda x: np.expand_dims(x, (0, 2)),
    "newaxis": lambda x: x[:, None, ..., np.newaxis],
    "broadcast_to": lambda x: np.broadcast_to(x, (5, 2, 3, 4)),
    "repeat": lambda x: np.repeat(x, 2, axis=1),
    "repeat method": lambda x: x.repeat(3, axis=0),
    "tile": lambda x: np.tile(x, (2, 1, 3)),
    "flip": lambda x: np.flip(x, (0, 2)),
    "a step of -1": lambda x: x[:, ::-1, ::-2],
    "roll": lambda x: np.roll(x, 1, axis=2),
    "pad": lambda x: np.pad(x, ((0, 0), (1, 2), (0, 1))),
    "pad with a number": lambda x: np.pad(x, 1, constant_values=-np.inf),
    "pad by reflection": lambda x: np.pad(x, ((0, 0), (1, 1), (2, 2)), mode="reflect"),
    "concatenate": lambda x: np.concatenate([x, x[:, :1], x[:, 1:]], axis=1),
    "concatenate all": lambda x: np.concatenate([x, x], axis=None),
    "concatenate with a constant": lambda x: np.concatenate([x, np.zeros((2, 1, 4))], axis=1),
    "stack": lambda x: np.stack([x[0], x[1], x[0]], axis=-1),
    "vstack": lambda x: np.vstack([x[0], x[1]]),
    "split": lambda x: np.split(x, 2, axis=2)[1],
    "split at": lambda x: np.split(x, [1, 3], axis=-1)[2],
    "array_split": lambda x: np.array_split(x, 2, axis=1)[0],
    "windows": lambda x: sliding_window_view(x, (2, 3), axis=(1, 2)),
    "an index": lambda x: x[1, 2, 3],
    "fancy": lambda x: x[[0, 1, 0], [2, 1, 0]],
    "a mask": lambda x: x[np.tri(2, 3, dtype=bool)],
    "a mask of its own": lambda x: x[x > 0],
    "embedding": lambda x: x[np.array([[0, 1], [1, 1]])],
    "take": lambda x: np.take(x, [2, 0], axis=1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[[1], [0], [3]]] * 2), 2),
    "diagonal": lambda x: np.diagonal(x, axis1=1, axis2=2),
    "tril": lambda x: np.tril(x),
    "triu": lambda x: np.triu(x, 1),
    "copy": lambda x: np.copy(x),
    "where": lambda x: np.where(np.tri(3, 4, dtype=bool), x, -np.inf),
    "where of two": lambda x: np.where(x > 0, x, x[:, :1]),
    "max of an axis": lambda x: x.max(axis=-1),
    "max of two axes": lambda x: np.max(x, axis=(0, 2), keepdims=True),
    "amin": lambda x: np.amin(x, 1),
    "maximum.reduce": lambda x: np.maximum.reduce(x),
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "clip from below": lambda x: x.clip(min=0),
    "abs": abs,
    "minus": lambda x: -x,
    "zeros_like": lambda x: np.zeros_like(x),
    "ones_like": lambda x: np.ones_like(x[0], dtype=x.dtype),
    "full_like": lambda x: np.full_like(x, -2, shape=(2, 2)),
    "zeros like": lambda x: np.zeros((2, 3), like=x) + np.zeros((2, 3), x.dtype),
    "rows": lambda x: np.stack([row[0] for row in x]),
    "unpacked": lambda x: (lambda a, b: b)(*x),
    "len": lambda x: x[: len(x) - 1],
}


@both_dtypes
@pytest.mark.parametrize("name", LAYOUT)
def test_what_moves_numbers_moves_their_errors(name: str, dtype: str) -> None:
    """Each error is a mark of its number; nothing is rounded."""
    f, x = LAYOUT[name], drawn(21, 2, 3, 4, dtype=dtype)
    expected, result = f(x), f(uncertain(x, 1e-9 * np.abs(x)))
    assert isinstance(result, Bounded)
    assert result.shape == expected.shape
    assert np.array_equal(result.value, expected)
    inexact = np.isfinite(expected) & ~np.isin(expected, (0, 1, -2, 0.5, -0.5))
    assert np.allclose(result.error, np.where(inexact, 1e-9 * np.abs(expected), 0), 1e-5, 0)
    assert not f(Bounded.exact(x)).error.any()


def written(x: Any) -> Any:
    x = x.copy()
    x[0] = 1
    x[:, 1:2] *= 3
    x[1, 2, 3] += x[0, 0, 0]
    x[x > 1.5] = -4
    x[[0, 1], [2, 0]] -= 0.5
    view = x.reshape(-1)
    view[5] = 7
    x.T[0] /= 4
    np.put_along_axis(x, np.array([[[1], [0], [3]]] * 2), 9, 2)
    return x


def filled(x: Any) -> Any:
    out = np.empty_like(x)
    for i, row in enumerate(x):
        out[i] = row * 2
    return out


def col2im(x: Any) -> Any:
    out = np.zeros_like(x, shape=(2, 4, 6))
    for i in range(2):
        for j in range(3):
            out[:, i : i + 3, j : j + 4] += x
    return out


def accumulated(x: Any) -> Any:
    out = np.zeros_like(x[:, 0])
    np.add.at(out, np.array([0, 1, 1, 0]), x[0, 0][:, None] * x[1, 1])
    np.subtract.at(out, (np.array([0, 0]), np.array([1, 1])), x[0, 0, 0])
    return out


def summed_up(x: Any) -> Any:
    total = 0
    for row in x:
        total += row.sum()
    first = kept = x.sum()
    kept += 1
    return first - total + sum(list(x[0])) + np.copy(kept) * 0


@both_dtypes
@pytest.mark.parametrize("f", [written, filled, col2im, accumulated, summed_up])
def test_writes_do_what_numpy_does(f: Callable[[Any], Any], dtype: str) -> None:
    x = drawn(22, 2, 3, 4, dtype=dtype)
    given = Bounded.exact(x)
    expected, result = f(x), f(given)
    assert (np.abs(expected - result.value) <= result.error).all()
    assert result.error.max() < 2000 * np.finfo(dtype).eps
    assert np.array_equal(given.value, x)
    assert not given.error.any()


def test_what_is_never_written_has_no_bound() -> None:
    out = np.empty_like(Bounded.exact(drawn(1, 3)))
    out[:2] = 1
    assert out.error.tolist() == [0, 0, np.inf]


def test_a_write_into_a_view_is_one_into_the_whole() -> None:
    x = uncertain(drawn(23, 3, 4), 0.5)
    row, turned = x[1], x.T
    row += 2
    turned[3] = 0
    assert np.array_equal(x.value[1, :3], drawn(23, 3, 4).astype(float)[1, :3] + 2)
    assert (x.error[:, 3] == 0).all()
    assert (x.error[:, :3] >= 0.5).all()


def test_a_greatest_number_moves_no_further_than_those_that_may_be_it() -> None:
    x = uncertain(np.array([1, 0.9, -5], np.float32), np.array([0.01, 0.2, 3]))
    assert x.max().error == 0.2
    assert x[::2].max().error == 0.01
    assert (-x).min().error == 0.2
    rng = np.random.default_rng(24)
    for _ in range(300):
        value, error = rng.normal(size=(6, 5)).astype(np.float32), 10.0 ** rng.normal(-1, 1, (6, 5))
        given = uncertain(value, error)
        other = value + error * rng.uniform(-1, 1, (6, 5))
        for f in (np.max, np.min, lambda a, axis: np.maximum(a[0], a[1]),
                  lambda a, axis: np.clip(a, -0.3, 0.4)):  # fmt: skip
            result = f(given, axis=0)
            assert (np.abs(f(other, axis=0) - result.value) <= result.error * (1 + 1e-6)).all()


def test_comparisons_that_rounding_decides() -> None:
    x = uncertain(np.array([1, 0.1, -0.1, -1], np.float32), 0.2)
    truth = x > 0
    assert truth.value.tolist() == [1, 1, 0, 0]
    assert truth.error.tolist() == [0, 1, 1, 0]
    chosen = np.where(truth, x, 5)
    assert np.allclose(chosen.error, [0.2, 5.1, 5.3, 0])
    both, either, neither = truth & (x > 0.5), (x < -0.5) | truth, ~truth
    assert both.tolist() == [True, False, False, False], "decided by the other"
    assert either.error.tolist() == [0, 1, 1, 0]
    assert neither.value[[0, 3]].tolist() == [0, 1]
    assert neither.error.tolist() == [0, 1, 1, 0]
    assert np.any(truth) == 1
    assert not isinstance(np.any(truth), Bounded)
    assert np.any(truth[1:]).error == 1
    assert not np.all(truth)
    assert bool((x > -2).all())
    with pytest.raises(NotImplementedError, match="either way"):
        bool(np.any(truth[1:]))
    with pytest.raises(NotImplementedError, match="either way"):
        x[truth]
    clamped = x.copy()
    clamped[x < 0] = 0  # relu, written into
    assert np.allclose(clamped.error, [0.2, 0.3, 0.3, 0])
    assert np.isfinite(x).all()
    assert not np.isnan(x).any()
    assert np.isnan(np.log(x)).error.any()


REFUSED: dict[str, Callable[[Any], Any]] = {
    "asarray": np.asarray,
    "array": np.array,
    "array of two": lambda x: np.array([x, x]),
    "ascontiguousarray": np.ascontiguousarray,
    "float": lambda x: float(x[0, 0]),
    "int": lambda x: int(x[0, 0]),
    "numpy.float64": lambda x: np.float64(x[0, 0]),
    "math": lambda x: math.sqrt(x[0, 0]),
    "index": lambda x: [1, 2][x[0, 0]],
    "item": lambda x: x[0, 0].item(),
    "tolist": lambda x: x.tolist(),
    "torch": lambda x: torch.as_tensor(np.asarray(x)),
    "np.sort": np.sort,
    "argsort": lambda x: x.argsort(),
    "np.nanprod": np.nanprod,
    "np.linalg.svd": np.linalg.svd,
    "np.linalg.inv": np.linalg.inv,
    "np.median": np.median,
    "np.fft.fft": np.fft.fft,
    "spacing": np.spacing,
    "np.nan_to_num": np.nan_to_num,
    "np.allclose": lambda x: np.allclose(x, x),
    "multiply.reduce": np.multiply.reduce,
    "multiply.at": lambda x: np.multiply.at(x, 0, 2),
    "where=": lambda x: np.exp(x, where=np.ones(x.shape, bool)),
    "np.sum": lambda x: x.sum(dtype=np.float64),
    "np.mean": lambda x: np.mean(x, where=np.ones(x.shape, bool)),
    "np.pad": lambda x: np.pad(x, 1, mode="mean"),
    "np.linalg.norm": lambda x: np.linalg.norm(x, ord="nuc"),
    "np.argmax": lambda x: x.argmax(axis=1),
    "np.argmin": np.argmin,
    "gammaln": scipy.special.gammaln,
    "astype": lambda x: x.astype(np.float16),
    "exp into a plain array": lambda x: np.exp(x, out=np.zeros(x.shape, np.float32)),
    "add into a plain array": lambda x: np.zeros(x.shape).__iadd__(x),
    "add.at into a plain array": lambda x: np.add.at(np.zeros(x.shape), 0, x),
    "put_along_axis": lambda x: np.put_along_axis(np.zeros(x.shape), np.zeros((2, 1), int), x, 1),
    "copyto": lambda x: np.copyto(np.zeros(x.shape), x),
    "writing into a plain array": lambda x: np.zeros(x.shape).__setitem__(slice(None), x),
    "take": lambda x: np.take(np.arange(9.0), x),
    "an index that is rounded": lambda x: x[x],
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_loses_the_bound_in_silence(name: str) -> None:
    with pytest.raises(NotImplementedError) as raised:
        REFUSED[name](uncertain(drawn(25, 2, 3), 1e-3))
    assert len(str(raised.value)) > 20
    if name.startswith("np."):
        assert name in str(raised.value)


def test_one_number_written_into_a_plain_array_is_refused_as_well() -> None:
    """NumPy turns the error into one of its own."""
    with pytest.raises(ValueError, match="sequence") as raised:
        np.zeros(3)[0] = Bounded.exact(drawn(1, 3))[0]
    assert isinstance(raised.value.__cause__, NotImplementedError)


def test_places_of_exact_numbers_are_known() -> None:
    x = drawn(26, 3, 5)
    assert np.array_equal(Bounded.exact(x).argmax(axis=1), x.argmax(axis=1))
    assert np.argmin(Bounded.exact(x)) == x.argmin()


def test_scipy_is_not_imported_for_what_does_not_need_it() -> None:
    code = "import sys, torch_parity.compare.bounds.bounded; print('scipy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    scores = np.where(np.tril(np.ones(scores.shape[-2:], dtype=bool)), scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)) @ v


def attention_by_mask(q: Any, k: Any, v: Any) -> Any:
    scores = np.einsum("bhtd,bhsd->bhts", q, k) * q.shape[-1] ** -0.5
    scores = scores + np.triu(np.full(scores.shape[-2:], -np.inf), 1).astype(q.dtype)
    e = np.exp(scores - np.amax(scores, axis=-1, keepdims=True))
    return np.einsum("bhts,bhsd->bhtd", e / np.sum(e, -1, keepdims=True), v)


def conv(x: Any, w: Any, b: Any) -> Any:
    m, _, height, width = x.shape
    o, c, k, _ = w.shape
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    cols = sliding_window_view(x, (k, k), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    out = cols.reshape(-1, c * k * k) @ w.reshape(o, -1).T + b
    return out.reshape(m, height, width, o).transpose(0, 3, 1, 2)


def layer_norm(x: Any, w: Any, b: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b


def batch_norm(x: Any, w: Any, b: Any) -> Any:
    mean, var = np.mean(x, axis=(0, 2, 3), keepdims=True), np.var(x, axis=(0, 2, 3), keepdims=True)
    return w.reshape(1, -1, 1, 1) * ((x - mean) * (var + 1e-5) ** -0.5) + b[None, :, None, None]


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + scipy.special.erf(x / np.sqrt(2)))


def lstm(x: Any, h: Any, c: Any, w: Any, u: Any) -> Any:
    i, f, g, o = np.split(x @ w.T + h @ u.T, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c), c], axis=1)


def torch_lstm(x: Any, h: Any, c: Any, w: Any, u: Any) -> Any:
    return torch.cat(torch.lstm_cell(x, (h, c), w, u), dim=1)


def max_pool(x: Any) -> Any:
    m, c, height, width = x.shape
    return x.reshape(m, c, height // 2, 2, width // 2, 2).max(axis=(3, 5))


F = torch.nn.functional
OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = {
    "attention": (attention, lambda *a: F.scaled_dot_product_attention(*a, is_causal=True),
                  [(2, 3, 9, 8)] * 3),
    "attention by mask": (attention_by_mask,
                          lambda *a: F.scaled_dot_product_attention(*a, is_causal=True),
                          [(2, 3, 9, 8)] * 3),
    "conv": (conv, lambda *a: F.conv2d(*a, padding=1), [(3, 2, 6, 7), (4, 2, 3, 3), (4,)]),
    "layer norm": (layer_norm, lambda x, w, b: F.layer_norm(x, (10,), w, b),
                   [(4, 3, 10), (10,), (10,)]),
    "batch norm": (batch_norm, lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
                   [(5, 3, 4, 4), (3,), (3,)]),
    "gelu": (gelu, F.gelu, [(40, 5)]),
    "lstm": (lstm, torch_lstm, [(3, 5), (3, 4), (3, 4), (16, 5), (16, 4)]),
    "max pool": (max_pool, lambda x: F.max_pool2d(x, 2), [(2, 3, 4, 6)]),
    "norm": (lambda x: np.linalg.norm(x, axis=1), lambda x: torch.linalg.vector_norm(x, dim=1),
             [(4, 30)]),
    "norm of all": (np.linalg.norm, torch.linalg.vector_norm, [(4, 30)]),
    "softplus": (lambda x: np.logaddexp(x, 0), F.softplus, [(50,)]),
}  # fmt: skip


@both_dtypes
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_written_by_hand(name: str, dtype: str) -> None:
    """By hand and in torch within the bound, and a fault of 1e-3 of the largest is not."""
    by_hand, by_torch, shapes = OPERATIONS[name]
    for seed in range(15):
        rng = np.random.default_rng(seed)
        arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
        result = by_hand(*(Bounded.exact(a) for a in arrays))
        came = {"by hand": by_hand(*arrays), "torch": by_torch(*map(torch.tensor, arrays)).numpy()}
        for who, y in came.items():
            assert y.shape == result.shape, who
            over = np.abs(y - result.value) - result.error
            assert (over <= 0).all(), f"{name}, {who}, {dtype}, seed {seed}: {over.max()}"
        assert result.error.max() < 1e-3 * np.abs(result.value).max(), f"{name}, seed {seed}"
