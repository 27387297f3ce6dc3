"""Every known way to a false PASS, tried and refused."""

import numpy as np
import pytest

from compare.judging.differences import compare

A = np.random.default_rng(0).normal(size=(5, 3))


def verdict(manual: np.ndarray, torch: np.ndarray) -> str:
    (difference,) = compare({"W1": manual}, {"W1": torch})
    assert difference.passed == (difference.verdict == "match")
    return difference.verdict


def test_the_same_numbers_match() -> None:
    assert verdict(A, A.copy()) == "match"
    assert verdict(A, A * (1 + 1e-15)) == "match"
    assert verdict(np.zeros((2, 3)), np.zeros((2, 3))) == "match"


def test_comparing_nothing() -> None:
    with pytest.raises(ValueError, match="an empty comparison proves nothing"):
        compare({}, {})
    assert verdict(np.ones((0, 3)), np.ones((0, 3))) == "empty"


def test_a_tensor_missing_on_either_side() -> None:
    ab, a = {"a1": A, "W1": A}, {"a1": A}
    assert [d.verdict for d in compare(ab, a)] == ["match", "no torch"]
    assert [d.verdict for d in compare(a, ab)] == ["match", "no manual"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sides", ["manual", "torch", "both"])
def test_nan_and_infinity_never_pass(value: float, sides: str) -> None:
    """NaN loses every comparison, and equal infinities leave NaN behind."""
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
    """A maximum that starts at 0 reads as agreement when nothing was accumulated."""
    assert verdict(np.zeros((2, 2)), np.full((2, 2), 1e-300)) == "differs"


def test_counters_have_to_be_equal() -> None:
    assert verdict(np.asarray(3), np.asarray(3)) == "match"
    assert verdict(np.asarray(3), np.asarray(4)) == "differs"


@pytest.mark.parametrize("dtype", ["int8", "int64"])
def test_integers_that_wrap_are_not_equal(dtype: str) -> None:
    """The least integer has no absolute value in its own type: |-128| is -128 in int8."""
    least = np.array([0, np.iinfo(dtype).min], dtype)
    (d,) = compare({"t": least}, {"t": np.zeros(2, dtype)})
    assert (d.verdict, d.index, d.relative) == ("differs", (1,), 1.0)
    (d,) = compare({"t": np.array([2**62 + 1])}, {"t": np.array([2**62])})  # equal as float64
    assert d.verdict == "differs"
