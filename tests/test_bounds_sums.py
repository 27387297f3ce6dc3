"""Sums and products of bounded numbers against exact fractions: the value is right far below the
bound, NumPy's and torch's own results lie within it, and so does what uncertain inputs may give."""

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precise import precise_product

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

Fractions = np.ndarray  # of dtype object: NumPy adds and multiplies them exactly


def fractions(x: Any) -> Fractions:
    """The same numbers, exactly."""
    parts = [np.atleast_1d(x).astype(np.longdouble).ravel()]
    parts.append(parts[0] - parts[0].astype(np.float64))
    made = [Fraction(float(a)) + Fraction(float(b)) for a, b in zip(*parts, strict=True)]
    return np.array([*made, None], dtype=object)[:-1].reshape(np.shape(x))


def floats(x: Any) -> np.ndarray:
    """The nearest float64 numbers."""
    return np.vectorize(float, otypes=[float])(x)


def exact_var(x: Fractions, axis: Any, ddof: int) -> Fractions:
    n = int(np.prod([x.shape[i] for i in np.atleast_1d(axis)]))
    off = x - np.sum(x, axis, keepdims=True) / Fraction(n)
    return np.sum(off * off, axis) / Fraction(n - ddof)


def exact_mean(x: Fractions, axis: Any = None) -> Fractions:
    total = np.asarray(np.sum(x, axis))
    return total / Fraction(x.size // total.size)


def exact_at(x: Fractions, y: Fractions) -> Fractions:
    x = x.copy()
    np.add.at(x, [0, 2, 0, 0], y)
    return x


def added_at(x: Any, y: Any) -> Any:
    x = x.copy()
    np.add.at(x, [0, 2, 0, 0], y)
    return x


def three(x: Any, y: Any, w: Any) -> Any:
    return np.einsum("bij,jk,ik->bi", x, y, w)


def exact_three(x: Fractions, y: Fractions, w: Fractions) -> Fractions:
    return ((x @ y) * w).sum(-1)


# name: shapes, by NumPy (and Bounded), by fractions, by torch
Case = tuple[
    list[tuple[int, ...]], Callable[..., Any], Callable[..., Any], Callable[..., Any] | None
]


def einsum(spec: str, *shapes: tuple[int, ...]) -> Case:
    """Contracted entry by entry, by definition."""
    explicit = spec if "->" in spec else f"{spec}->{implicit(spec)}"

    def exact(*arrays: Fractions) -> Fractions:
        terms, out = explicit.split("->")
        sizes = {
            n: k
            for t, a in zip(terms.split(","), arrays, strict=True)
            for n, k in zip(t, a.shape, strict=True)
        }
        made = np.full([sizes[n] for n in out], Fraction(0), dtype=object)
        for at in product(*(range(k) for k in sizes.values())):
            where = dict(zip(sizes, at, strict=True))
            term = Fraction(1)
            for labels, a in zip(terms.split(","), arrays, strict=True):
                term *= a[tuple(where[n] for n in labels)]
            made[tuple(where[n] for n in out)] += term
        return made

    return (
        list(shapes),
        lambda *a: np.einsum(spec, *a),
        exact,
        lambda *a: torch.einsum(spec, *a),
    )


def implicit(spec: str) -> str:
    return "".join(n for n in sorted(set(spec) - {","}) if spec.count(n) == 1)


CASES: dict[str, Case] = {
    "sum": ([(3, 40)], lambda x: x.sum(), lambda x: np.sum(x), torch.sum),
    "sum of an axis": ([(3, 40)], lambda x: x.sum(1), lambda x: np.sum(x, 1), lambda x: x.sum(1)),
    "sum of two axes": (
        [(4, 3, 5)], lambda x: np.sum(x, (0, -1), keepdims=True),
        lambda x: np.sum(x, (0, 2), keepdims=True), lambda x: x.sum((0, 2), keepdim=True),
    ),
    "add.reduce": ([(30, 2)], lambda x: np.add.reduce(x), lambda x: np.sum(x, 0), None),
    "mean": ([(4, 3, 5)], lambda x: x.mean((0, 2)), lambda x: exact_mean(x, (0, 2)),
             lambda x: x.mean((0, 2))),
    "mean of all": ([(7, 9)], lambda x: np.mean(x), exact_mean, torch.mean),
    "var": ([(6, 20)], lambda x: x.var(1), lambda x: exact_var(x, 1, 0),
            lambda x: x.var(1, correction=0)),
    "var of a sample": ([(4, 6, 5)], lambda x: np.var(x, axis=(0, 2), ddof=1),
                        lambda x: exact_var(x, (0, 2), 1), lambda x: x.var((0, 2))),
    "cumsum": ([(3, 30)], lambda x: x.cumsum(1), lambda x: np.cumsum(x, 1),
               lambda x: x.cumsum(1)),
    "cumsum of all": ([(3, 7)], lambda x: np.cumsum(x), lambda x: np.cumsum(x), None),
    "add.at": ([(3, 5), (4, 5)], added_at, exact_at,
               lambda x, y: x.index_add(0, torch.tensor([0, 2, 0, 0]), y)),
    "matmul": ([(5, 40), (40, 3)], np.matmul, np.matmul, torch.matmul),
    "matmul of batches": ([(2, 1, 3, 9), (4, 9, 2)], np.matmul, np.matmul, torch.matmul),
    "vector @ batches": ([(9,), (4, 9, 2)], np.matmul, np.matmul, torch.matmul),
    "batches @ vector": ([(4, 2, 9), (9,)], np.matmul, np.matmul, torch.matmul),
    "vector @ vector": ([(30,), (30,)], np.matmul, np.dot, torch.matmul),
    "dot": ([(3, 4), (2, 4, 5)], np.dot, np.dot, None),
    "dot method": ([(3, 4), (4, 5)], lambda x, y: x.dot(y), np.dot, torch.matmul),
    "inner": ([(3, 4), (2, 4)], np.inner, lambda x, y: x @ y.T, torch.inner),
    "outer": ([(3,), (2, 2)], np.outer, np.outer, None),
    "tensordot": ([(3, 4, 5), (4, 5, 2)], np.tensordot,
                  lambda x, y: x.reshape(3, 20) @ y.reshape(20, 2), torch.tensordot),
    "tensordot of axes": (
        [(3, 4, 5), (5, 2, 3)], lambda x, y: np.tensordot(x, y, ([0, -1], [2, 0])),
        lambda x, y: np.einsum("ijk,kli->jl", x, y), None,
    ),
    "trace of a product": einsum("ij,ji->", (4, 5), (5, 4)),
    "im2col": einsum("mchwij,ocij->mohw", (2, 2, 3, 2, 2, 3), (3, 2, 2, 3)),
    "batch in the middle": einsum("ibj,kbj->kib", (3, 2, 6), (4, 2, 6)),
    "implicit": einsum("ba,cb", (4, 3), (2, 4)),
    "entry by entry": einsum("ij,ij->ji", (4, 3), (4, 3)),
    "rows": einsum("ij,ij->i", (4, 30), (4, 30)),
    "a sum of one alone": einsum("ijk,k->i", (2, 3, 4), (4,)),
    "sums of either alone": einsum("ij,k->i", (2, 3), (5,)),
    "diagonals": einsum("iij,jk->ik", (3, 3, 4), (4, 2)),
    "one operand": einsum("ijk->kj", (6, 2, 3)),
    "a trace": einsum("ii", (6, 6)),
    "four operands": einsum("ij,j,jk,k->i", (2, 3), (3,), (3, 4), (4,)),
    "three operands": ([(2, 3, 4), (4, 5), (3, 5)], three, exact_three,
                       lambda *a: torch.einsum("bij,jk,ik->bi", *a)),
    "dots": ([(2, 3, 1, 4), (1, 4, 2)], lambda x, y: np.einsum("...ij,...jk->...ki", x, y),
             lambda x, y: np.swapaxes(x @ y, -1, -2),
             lambda x, y: torch.einsum("...ij,...jk->...ki", x, y)),
    "implicit dots": ([(2, 3, 4), (4, 5)], lambda x, y: np.einsum("...j,jk", x, y), np.matmul,
                      lambda x, y: torch.einsum("...j,jk", x, y)),
}  # fmt: skip
KINDS: dict[str, Callable[..., np.ndarray]] = {
    "signed": lambda rng, shape: rng.normal(size=shape),
    "cancels": lambda rng, shape: 100 + rng.normal(size=shape),
    "any size": lambda rng, shape: rng.normal(size=shape) * 10.0 ** rng.integers(-9, 9, shape),
    "zeros": lambda rng, shape: rng.normal(size=shape) * (rng.random(shape) < 0.3),
}
every_case = pytest.mark.parametrize("name", CASES)


def drawn(name: str, kind: str, dtype: str, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [KINDS[kind](rng, shape).astype(dtype) for shape in CASES[name][0]]


@every_case
@both_dtypes
@pytest.mark.parametrize("kind", KINDS)
def test_a_sum_lies_within_its_bound(name: str, kind: str, dtype: str) -> None:
    _, by_numpy, by_fractions, by_torch = CASES[name]
    u = np.finfo(dtype).eps / 2
    for seed in range(3):
        where = f"{name}, {kind}, {dtype}, seed {seed}"
        arrays = drawn(name, kind, dtype, seed)
        result = by_numpy(*(Bounded.exact(a) for a in arrays))
        exact = by_fractions(*(fractions(a) for a in arrays))
        assert result.shape == np.shape(exact), where
        off = np.abs(floats(fractions(result.value) - exact))
        assert (off <= 0.02 * result.error).all(), where
        came = {"NumPy": np.asarray(by_numpy(*arrays))}
        if by_torch is not None:
            came["torch"] = by_torch(*(torch.tensor(a) for a in arrays)).numpy()
        for who, y in came.items():
            assert (y.dtype, y.shape) == (dtype, result.shape), f"{where}, {who}"
            off = np.abs(floats(fractions(y) - exact))
            assert (off <= result.error).all(), f"{where}, {who}"
        # the worst that n roundings can do, twice; a variance's mean has as many, and counts twice
        kind_of = name.split(" of ")[0]
        magnitudes = [np.abs(fractions(a)) for a in arrays]
        if kind_of == "var":
            n, magnitudes = arrays[0].size // result.size, [magnitudes[0] ** 2]
            sizes = 6 * floats(
                exact_mean(magnitudes[0], (0, 2) if result.ndim == 1 and name != "var" else 1)
            )
        else:
            sizes = floats(by_fractions(*magnitudes))
            n = floats(by_fractions(*(fractions(np.ones(a.shape)) for a in arrays)))
            n = arrays[0].size if kind_of == "mean" else n
        tiny = 1e3 * np.finfo(dtype).tiny
        assert (result.error <= 2.02 * (n + 6) * u * sizes + tiny).all(), where


@every_case
@both_dtypes
@pytest.mark.parametrize("size", [1e-12, 1e-5, 0.05])
def test_a_sum_of_uncertain_numbers(name: str, dtype: str, size: float) -> None:
    """The numbers are moved to the ends of their errors, and in between."""
    seed = 11
    rng = np.random.default_rng(seed)
    _, by_numpy, by_fractions, _ = CASES[name]
    arrays = drawn(name, "signed", dtype, seed)
    errors = [size * np.abs(a.astype(float)) for a in arrays]
    given = [Bounded.exact(a) for a in arrays]
    exact = by_numpy(*given)
    for x, e in zip(given, errors, strict=True):
        x.error[...] = e
    result = by_numpy(*given)
    farthest = np.zeros(result.shape)
    for moves in range(6):
        moved = []
        for a, e in zip(arrays, errors, strict=True):
            at = [np.sign(a), -np.sign(a), rng.choice([-1, 1], a.shape)][moves % 3]
            at = at if moves < 3 else rng.uniform(-1, 1, a.shape)
            moved.append(fractions(a) + fractions(np.asarray(at, float)) * fractions(e))
        off = np.abs(floats(by_fractions(*moved) - fractions(exact.value)))
        # what the exact numbers' roundings may take is not there for the errors
        allowed = (result.error - exact.error) * (1 + 1e-6) + 0.02 * exact.error
        assert (off <= allowed).all(), f"{name}, {dtype}, seed {seed}, error {size}, {moves}"
        farthest = np.maximum(farthest, off)
    reach = np.max(result.error - exact.error)
    assert reach <= 100 * farthest.max() + exact.error.max(), f"{name}, {dtype}, seed {seed}"


@both_dtypes
def test_errors_of_one_operand_and_of_all_are_carried_in_full(dtype: str) -> None:
    """Positive numbers, some operands uncertain: the sum reaches its bound but for the rounding."""
    seed = 12
    rng = np.random.default_rng(seed)
    for name, (shapes, by_numpy, by_fractions, _) in CASES.items():
        if "var" in name:
            continue
        arrays = [rng.uniform(1, 2, shape).astype(dtype) for shape in shapes]
        one_and_all = [{i} for i in range(len(arrays))] + [set(range(len(arrays)))]
        for some in one_and_all:
            given = [Bounded.exact(a) for a in arrays]
            sure = by_numpy(*given)
            for i in some:
                given[i].error[...] = 0.01 * arrays[i]
            result = by_numpy(*given)
            moved = [fractions(x.value) + fractions(x.error) for x in given]
            off = floats(by_fractions(*moved) - fractions(sure.value))
            carried = result.error - sure.error
            where = f"{name}, operands {some}, {dtype}, seed {seed}"
            assert (off <= carried * (1 + 1e-9) + 0.02 * sure.error).all(), where
            assert (carried <= 1.001 * off + sure.error).all(), where


@both_dtypes
def test_any_order_of_a_sum_is_within(dtype: str) -> None:
    """One after another, from the largest, in pairs, and around a bias that begins it."""
    seed = 13
    rng = np.random.default_rng(seed)
    for n in (2, 5, 100, 3000):
        x = (rng.normal(size=(n, 4)) * 10.0 ** rng.integers(-3, 3, (n, 4))).astype(dtype)
        bias = np.float64(1000).astype(dtype)
        result = Bounded.exact(x).sum(0)
        begun = result + Bounded.exact(np.full(4, bias))
        ordered = np.take_along_axis(x, np.argsort(-np.abs(x), 0), 0)
        came = [np.cumsum(a, 0)[-1] for a in (x, x[::-1], ordered, ordered[::-1])]
        came += [x[: n // 2].sum(0) + x[n // 2 :].sum(0)]
        for i, y in enumerate(came):
            assert (np.abs(y - result.value) <= result.error).all(), f"order {i}, n {n}, seed 13"
        y = np.cumsum(np.concatenate([np.full((1, 4), bias), x]), 0)[-1]
        assert (np.abs(y - begun.value) <= begun.error).all(), f"n {n}, seed 13"


@both_dtypes
@pytest.mark.parametrize("begun", ["matmul", "einsum", "reshaped", "transposed", "summed"])
def test_a_product_may_begin_at_its_bias(begun: str, dtype: str) -> None:
    """As torch's addmm does; the bias is far larger than the product."""
    seed = 14
    rng = np.random.default_rng(seed)
    x, W = (rng.normal(size=shape).astype(dtype) for shape in ((6, 300), (2, 300)))
    b = np.array([3e4, -7e5], dtype)
    X, Y, B = Bounded.exact(x), Bounded.exact(W), Bounded.exact(b)
    result = {
        "matmul": lambda: X @ Y.T + B,
        "einsum": lambda: np.einsum("ij,kj->ik", X, Y) + B,
        "reshaped": lambda: (X @ Y.T).reshape(2, 3, 2) + B,
        "transposed": lambda: (Y @ X.T).T + B,
        "summed": lambda: (X[:, None, :] * Y).sum(-1) + B,
    }[begun]()
    terms = np.concatenate([np.broadcast_to(b, (6, 2))[..., None], x[:, None] * W], axis=-1)
    came = np.cumsum(terms, axis=-1)[..., -1].reshape(result.shape)
    assert (np.abs(came - result.value) > 2 * np.finfo(dtype).eps * np.abs(b)).any()
    assert (np.abs(came - result.value) <= result.error).all(), f"seed {seed}"


@both_dtypes
@pytest.mark.parametrize("spec", ["bij,bjk->bik", "bij,bjk->kbi", "ji,jk->ik", "bij,cjk,c->bik"])
def test_alike_terms_of_a_product_in_doubt_may_drift(spec: str, dtype: str) -> None:
    n = 20_000
    size = {"b": 2, "i": 2, "j": n, "k": 3, "c": 1}
    rng = np.random.default_rng(15)
    arrays = []
    for labels in spec.split("->")[0].split(","):
        rows = rng.normal(size=[1 if label == "j" else size[label] for label in labels])
        shape = [size[label] for label in labels]
        arrays.append(np.broadcast_to(rows.astype(dtype), shape))
    exact = np.einsum(spec, *(a.astype(np.longdouble) for a in arrays))
    summed = spec.split("->")[0] + "->j" + spec.split("->")[1]
    walked = np.cumsum(np.einsum(summed, *arrays), axis=0, dtype=dtype)[-1]
    off = np.abs(walked - exact)
    first = np.einsum(spec, *(Bounded.exact(a) for a in arrays))
    assert (off > first.error).any(), "nothing that needs a closer look, seed 15"
    for entry in (1, 2):
        doubt = np.full(exact.shape, entry, np.uint8)
        closer = np.einsum(spec, *(Bounded.exact(a, doubt) for a in arrays))
        assert (off <= closer.error).all(), f"doubt {entry}, seed 15"
    other = np.ones((7, 7), np.uint8)  # of another tensor: all entries are given the worst
    worst = np.einsum(spec, *(Bounded.exact(a, other) for a in arrays))
    assert (worst.error >= closer.error).all()
    assert (
        worst.error
        <= 2.1
        * (n + 6)
        * np.finfo(dtype).eps
        / 2
        * 1.01
        * np.einsum(spec, *(np.abs(a).astype(float) for a in arrays))
        + 1e-30
    ).all()


@both_dtypes
def test_sums_of_squares_inside_another_tensor_are_given_their_drift(dtype: str) -> None:
    """A variance is no output, so that no entry of it can be in doubt itself: as x * x added up."""
    x = np.random.default_rng(17).normal(size=(40, 3, 200)).astype(dtype)
    x[:, 2] = 1 / 3  # alike terms drift, the others do not
    first, worst = (Bounded.exact(x, d) for d in (None, np.ones(x.shape, np.uint8)))
    sums = np.einsum("mcn,mcn->c", worst, worst)
    added = (worst * worst).sum(axis=(0, 2))
    np.testing.assert_allclose(sums.error, added.error, rtol=0.02)
    squares = np.moveaxis(x * x, 1, -1).reshape(-1, 3)
    walked = np.cumsum(squares, axis=0, dtype=dtype)[-1]
    assert (np.abs(walked - sums.value) <= sums.error).all(), "seed 17"
    more = sums.error > np.einsum("mcn,mcn->c", first, first).error * 1.5
    assert more.tolist() == [False, False, True]


@both_dtypes
def test_of_a_batched_product_only_the_entries_in_doubt_are_given_more(dtype: str) -> None:
    rng = np.random.default_rng(16)
    x, y = np.full((2, 3, 900), 1 / 3, dtype), rng.normal(size=(900, 4)).astype(dtype)
    doubt = np.zeros((2, 3, 4), np.uint8)
    doubt[1, 2, 3] = 1
    doubt[0, 1, 2] = 2
    first, closer = (Bounded.exact(x, d) @ Bounded.exact(y) for d in (None, doubt))
    more = closer.error > first.error * (1 + 1e-9)
    assert np.argwhere(more).tolist() in ([[0, 1, 2], [1, 2, 3]], [[0, 1, 2]])
    assert (closer.error >= first.error * (1 - 1e-9)).all()


def test_cumsum_and_add_at_in_doubt_are_given_the_worst() -> None:
    x = np.full((20_000, 2), 1 / 3, np.float32)
    walked = np.cumsum(x, 0)
    doubt = np.ones(x.shape, np.uint8)
    first, closer = (Bounded.exact(x, d).cumsum(0) for d in (None, doubt))
    off = np.abs(walked - first.value)
    assert (off > first.error).any()
    assert (off <= closer.error).all()
    at = np.zeros(20_000, int)
    into = [Bounded.exact(np.zeros((1, 2), np.float32), d) for d in (None, doubt)]
    for target, d in zip(into, (None, doubt), strict=True):
        np.add.at(target, at, Bounded.exact(x, d))
    off = np.abs(walked[-1] - into[0].value)
    assert (off > into[0].error).any()
    assert (off <= into[1].error).all()


@pytest.mark.parametrize("extra", [False, True])
def test_a_precise_product_says_what_it_may_be_off_by(extra: bool) -> None:
    """Batches; long doubles that hold more than float64 does; rows of very different numbers."""
    seed = 17
    rng = np.random.default_rng(seed)
    for spread in (0, 6, 20):
        a, b = (
            (rng.normal(size=shape) * 10.0 ** rng.integers(-spread, spread + 1, shape)).astype(
                np.longdouble
            )
            for shape in ((2, 3, 20), (2, 20, 4))
        )
        if extra:
            a, b = a / 3, b / 7
        sizes = (np.abs(a) @ np.abs(b)).astype(float)
        value, off = precise_product(a, b, sizes, 2.0**-58 * sizes)
        gap = np.abs(floats(fractions(value) - fractions(a) @ fractions(b)))
        where = f"spread {spread}, seed {seed}"
        assert (gap <= off + 20 * np.finfo(np.longdouble).eps * sizes).all(), where
        assert (off <= 2.0**-58 * sizes).all(), where


def test_a_product_of_three_that_underflows_on_the_way() -> None:
    x, y, z = (np.full((1, 1), c, np.float32) for c in (1e-30, 1e-30, 1e30))
    result = np.einsum("ij,ij,ij->ij", *(Bounded.exact(a) for a in (x, y, z)))
    assert abs(float((x * y * z).item()) - result.value.item()) <= result.error.item()
