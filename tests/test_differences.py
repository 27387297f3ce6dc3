"""Every known way to a false PASS, tried and refused."""

from dataclasses import replace

import numpy as np
import pytest

from torch_parity.compare.judge.differences import compare, difference
from torch_parity.compare.judge.matches import PIECE

A = np.random.default_rng(0).normal(size=(5, 3))


def verdict(manual: np.ndarray, torch: np.ndarray, bound: float = 0.0) -> str:
    (difference,) = compare({"W1": manual}, {"W1": torch}, bounds={"W1": bound})
    assert difference.passed == (difference.verdict == "match")
    return difference.verdict


def test_the_same_numbers_match() -> None:
    assert verdict(A, A.copy()) == "match"
    assert verdict(A, A * (1 + 1e-15)) == "differs"
    assert verdict(A, A * (1 + 1e-15), bound=2e-15) == "match"
    assert verdict(A, A * (1 + 1e-15), bound=2e-16) == "differs"
    assert verdict(np.zeros((2, 3)), np.zeros((2, 3))) == "match"


def test_comparing_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        compare({}, {})
    assert verdict(np.ones((0, 3)), np.ones((0, 3))) == "empty"


def test_a_tensor_missing_on_either_side() -> None:
    ab, a = {"a1": A, "W1": A}, {"a1": A}
    assert [d.verdict for d in compare(ab, a)] == ["match", "no torch"]
    assert [d.verdict for d in compare(a, ab)] == ["match", "no manual"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sides", ["manual", "torch", "both"])
def test_nan_and_infinity_never_pass(value: float, sides: str) -> None:
    """Every comparison with NaN is false, and the difference of equal infinities is NaN."""
    bad = A.copy()
    bad[2, 1] = value
    manual, torch = (bad if sides in (side, "both") else A for side in ("manual", "torch"))
    (d,) = compare({"W1": manual}, {"W1": torch})
    assert (d.verdict, d.passed, d.index) == ("not finite", False, (2, 1))
    assert str(value) in d.detail


def test_shapes_are_not_broadcast() -> None:
    column = np.ones((5, 1))
    assert verdict(column, np.ones(5)) == "shape"
    assert verdict(A, A.T.copy()) == "shape"


def test_a_square_transpose_is_seen() -> None:
    square = A.T @ A + np.triu(np.ones((3, 3)), 1)
    assert verdict(square, square.T) == "differs"


def test_precisions_are_not_mixed() -> None:
    assert verdict(A, A.astype(np.float32)) == "dtype"


def test_one_wrong_entry_among_a_million_right_ones() -> None:
    """The mean of this difference is 1e-16."""
    right = np.ones((1000, 1000))
    wrong = right.copy()
    wrong[617, 3] += 1e-10
    (d,) = compare({"W1": right}, {"W1": wrong})
    assert (d.verdict, d.index) == ("differs", (617, 3))
    assert d.absolute == pytest.approx(1e-10, rel=1e-3)


def test_tensors_are_paired_by_name_not_by_position() -> None:
    B = A + 1
    assert all(d.passed for d in compare({"a": A, "b": B}, {"b": B, "a": A}))
    assert not any(d.passed for d in compare({"a": A, "b": B}, {"a": B, "b": A}))


def test_a_constant_zero_is_not_bit_equal_to_anything() -> None:
    """A maximum that starts at 0 looks like agreement if nothing was compared."""
    assert verdict(np.zeros((2, 2)), np.full((2, 2), 1e-300)) == "differs"


def test_counters_have_to_be_equal() -> None:
    assert verdict(np.asarray(3), np.asarray(3)) == "match"
    assert verdict(np.asarray(3), np.asarray(4)) == "differs"


@pytest.mark.parametrize("dtype", ["int8", "int64"])
def test_integers_that_wrap_are_not_equal(dtype: str) -> None:
    """The smallest integer has no absolute value in its own type: |-128| is -128 in int8."""
    least = np.array([0, np.iinfo(dtype).min], dtype)
    (d,) = compare({"t": least}, {"t": np.zeros(2, dtype)})
    assert (d.verdict, d.index, d.relative) == ("differs", (1,), 1.0)
    (d,) = compare({"t": np.array([2**62 + 1])}, {"t": np.array([2**62])})  # equal as float64
    assert d.verdict == "differs"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(12))
def test_many_at_once_say_what_each_alone_does(seed: int, dtype: str) -> None:
    """Tensors that share a piece, that span several and that end on its border, with gaps, NaN and
    infinity in one entry, anywhere."""
    rng = np.random.default_rng([seed, 77])
    sizes = [(3, 5), (1,), (), (PIECE,), (PIECE + 1,), (7, PIECE // 3), (2, 0), (41, 13), (4, 4)]
    rng.shuffle(sizes)
    manual, torch = {}, {}
    for i, shape in enumerate(sizes):
        a = np.asarray(rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4)).astype(dtype)
        b = np.asarray(a + a * np.finfo(dtype).eps * rng.integers(-1, 2, shape)).astype(dtype)
        where = tuple(int(rng.integers(n)) for n in shape) if a.size else None
        planted = (0.1, 1e-3, np.nan, np.inf, 0.0, 0.0)[rng.integers(6)]
        if where is not None and planted:
            (a if rng.random() < 0.3 else b)[where] += planted
        manual[f"t{i}"], torch[f"t{i}"] = a, (b.T.copy().T if b.ndim == 2 else b)
    manual["zero"] = torch["zero"] = np.zeros((3, 2), dtype)
    verdicts = set()
    for d in compare(manual, torch):
        alone = difference(d.name, manual[d.name], torch[d.name], ("manual", "torch"))
        verdicts.add(d.verdict)
        if d.verdict == "match":
            assert alone.relative == pytest.approx(d.relative, rel=1e-4), (seed, d)
            assert replace(alone, index=(), relative=d.relative) == d, (seed, d)
        elif d.verdict != "not finite":
            assert alone == d, (seed, d)
        else:
            assert (alone.verdict, alone.index) == (d.verdict, d.index), (seed, d)
    assert {"match", "empty"} <= verdicts


def test_nothing_of_a_tensor_is_left_out() -> None:
    """One entry off, at each place of a tensor of several pieces, beside small ones."""
    small = np.ones((2, 3))
    large = np.ones(3 * PIECE + 5)
    for at in (0, PIECE - 7, PIECE - 6, PIECE - 1, PIECE, 2 * PIECE, 3 * PIECE + 4):
        off = large.copy()
        off[at] += 1e-9
        first, second, last = compare(
            {"a": small, "b": large, "c": small}, {"a": small, "b": off, "c": small}
        )
        assert (second.verdict, second.index) == ("differs", (at,))
        assert (first.verdict, last.verdict) == ("match", "match")
