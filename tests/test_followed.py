"""A forward followed through its steps: the gradient of every operation that can be, against the
complex step; worked examples; and what is refused."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.register.row import Operation
from torch_parity.manual.gradients.block_gradient import _followed
from torch_parity.manual.gradients.followed import FollowedRun
from torch_parity.manual.gradients.tangents import STEP, Uncertain, exactly, is_of_rows
from torch_parity.manual.recording import Call

# what has slopes that no rule covers: they are treated otherwise, or refused
REFUSED = {
    "additive_attention", "avg_pool2d", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "clip_grads_with_norm", "conv2d", "conv2d_no_bias",
    "conv_transpose2d", "get_total_norm", "max_pool2d", "pad", "relu", "rotary_positions",
    "sinusoidal_positions",
}  # fmt: skip
ROWS = [(op, options) for op in OPERATIONS.values() if op.differentiable for options in op.options]


def follow(op: Operation, options: dict[str, Any], seed: int) -> tuple[FollowedRun, list[Any]]:
    given = op.samples(np.random.default_rng(seed), "float64")
    derived = op.differentiated(list(given))
    inputs = list(given.values())
    variances = {i: np.zeros(np.shape(inputs[i])) for i, n in enumerate(given) if n in derived}
    return FollowedRun(partial(op.forward, **options), inputs, variances), inputs


def test_rows_that_read_other_rows_are_no_rows_alone() -> None:
    """Their derivative is not that of each row, also where the first row reads no other."""
    z = np.random.default_rng(0).normal(size=(4, 3))
    assert is_of_rows(lambda z: z - z.mean(axis=1, keepdims=True), z)
    assert is_of_rows(lambda z: (z * z).sum(axis=1), z)
    for of_others in (
        lambda z: z - z.mean(axis=0),
        lambda z: np.cumsum(z, axis=0),
        lambda z: np.cumsum(z[::-1], axis=0)[::-1],
        lambda z: z * np.concatenate([np.ones((1, 3)), z[:-1]]),
        lambda z: np.concatenate([z[:1] + z[1:2].sum(axis=0), z[1:]]),  # only the first
        lambda z: np.concatenate([z[:-1], z[-1:] + z[-2:-1].sum(axis=0)]),  # only the last
        lambda z: np.ones((1, 3)),
        lambda z: z[:, :, None],
    ):
        assert not is_of_rows(of_others, z)
    assert not is_of_rows(lambda z: 2 * z, z[:, None])
    assert not is_of_rows(lambda z: 2 * z, z[:0])


def test_every_operation_has_the_slopes_of_the_complex_step() -> None:
    refused = set()
    for seed, (op, options) in enumerate(ROWS):
        try:
            run, inputs = follow(op, options, seed)
        except ValueError:
            refused.add(op.name)
            continue
        rng = np.random.default_rng(seed)
        upstream = [rng.normal(size=step.value.shape) for step in run.outputs]
        found = run.back([exactly(u) for u in upstream])
        for i in run.inputs:
            v = rng.normal(size=np.shape(inputs[i]))
            moved = [*inputs[:i], inputs[i] + 1j * STEP * v, *inputs[i + 1 :]]
            made = op.forward(*moved, **options)
            outputs = made if isinstance(made, tuple) else (made,)
            slope = sum((u * np.imag(a)).sum() for u, a in zip(upstream, outputs, strict=True))
            got = found.get(i, exactly(np.zeros(v.shape)))
            sums = 4 * np.finfo(np.float64).eps * np.abs(got.value * v).sum()  # of this test
            reach = (got.bound * np.abs(v)).sum() + sums
            off = abs((got.value * v).sum() - slope / STEP)
            assert off <= reach, f"seed {seed}, {op.name} {options}, input {i}"
            assert reach <= 1e-8 * max(1.0, float(np.abs(got.value).max())), (op.name, options)
    assert refused == REFUSED


def back(forward: Any, *inputs: np.ndarray, upstream: np.ndarray) -> list[Uncertain]:
    run = FollowedRun(forward, inputs, {i: np.zeros(a.shape) for i, a in enumerate(inputs)})
    found = run.back([exactly(upstream)])
    return [found[i] for i in range(len(inputs))]


A, B = np.array([[1.0, 2.0], [3.0, -4.0]]), np.array([2.0, 0.5])
U = np.array([[1.0, -1.0], [0.5, 2.0]])


def test_worked_examples() -> None:
    """Broadcasting reads b twice; a repeated index adds up; a write replaces."""
    a, b = back(lambda a, b: a / b, A, B, upstream=U)
    np.testing.assert_allclose(a.value, U / B)
    np.testing.assert_allclose(b.value, -(U * A).sum(axis=0) / B**2)
    (g,) = back(lambda a: a[np.array([0, 0, 1])], A, upstream=np.ones((3, 2)))
    assert np.array_equal(g.value, [[2, 2], [1, 1]])

    def written(a: Any, b: Any) -> Any:
        out = a * 3.0
        out[:, 1] = b
        out += b
        return out

    a, b = back(written, A, B, upstream=U)
    assert np.array_equal(a.value, [[3, 0], [1.5, 0]])
    assert np.array_equal(b.value, [U[0, 1] + U[:, 0].sum(), U[1, 1] + U[:, 1].sum()])
    (g,) = back(lambda x: x * x @ x + x.mean(), A, upstream=U)
    dx = 2 * A * (U @ A.T) + (A * A).T @ U + U.sum() / 4
    np.testing.assert_allclose(g.value, dx)
    a, b = back(lambda a, b: np.einsum("ij,jk->ki", a, b), A, A + 1, upstream=U)
    np.testing.assert_allclose(a.value, U.T @ (A + 1).T)
    np.testing.assert_allclose(b.value, A.T @ U.T)


def test_what_is_given_by_position_is_followed() -> None:
    (g,) = back(lambda x: x.mean(axis=1), A, upstream=np.array([1.0, -3.0]))
    assert np.array_equal(g.value, [[0.5, 0.5], [-1.5, -1.5]])
    (g,) = back(lambda x: np.sum(x, 0, keepdims=True), A, upstream=np.array([[1.0, -3.0]]))
    assert np.array_equal(g.value, [[1, -3], [1, -3]])
    kept = FollowedRun(lambda x: np.sum(x, 0, keepdims=True), [A], {0: np.zeros(A.shape)})
    assert kept.outputs[0].value.shape == (1, 2)
    a, b = back(lambda a, b: np.concatenate([a, b], 1), A, A[:, :1], upstream=np.eye(2, 3, 1))
    assert np.array_equal(a.value, [[0, 1], [0, 0]])
    assert np.array_equal(b.value, [[0], [1]])
    none = FollowedRun(lambda x: x.mean(axis=1), [A[:0]], {0: np.zeros((0, 2))})
    assert none.outputs[0].value.shape == (0,)
    ones = FollowedRun(lambda x: np.ones_like(x, np.int64), [A], {0: np.zeros(A.shape)})
    assert ones.outputs[0].value.dtype == np.int64


def test_an_input_that_nothing_reads_has_no_gradient() -> None:
    run = FollowedRun(lambda a, b: 2 * a, [A, B], {0: np.zeros(A.shape), 1: np.zeros(B.shape)})
    assert run.back([exactly(U)]).keys() == {0}
    with pytest.raises(ValueError, match="zip"):
        run.back([exactly(U), None])


def test_the_rounding_of_what_comes_in_is_carried_on() -> None:
    """y = x^2 at 3 and 1e-8 off: y is 6e-8 off, and its slope 2e-8."""
    x = np.array([3.0])
    run = FollowedRun(lambda x: x * x, [x], {0: np.array([1e-16])})
    assert run.outputs[0].variance[0] ** 0.5 == pytest.approx(2**0.5 * 3e-8)  # two independent 3e-8
    slope = run.back([exactly(np.ones(1))])[0]
    assert slope.value[0] == 6
    assert slope.variance[0] ** 0.5 == pytest.approx(2**0.5 * 1e-8)


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda x: np.sort(x), "numpy.sort has no rule"),
        (lambda x: np.clip(x, 0, 1), "numpy.clip has no rule"),
        (lambda x: -x if x else x, "it uses the truth value of its input"),
        (lambda x: np.maximum(x, 0), "numpy.maximum has no rule"),
        (lambda x: np.add.reduce(x), "numpy.add.reduce"),
        (lambda x: np.asarray(x) * 2, "plain array"),
        (lambda x: x if x.sum() > x else -x, "truth value"),
        (lambda x: x @ np.ones(2), "matmul of a vector"),
        (lambda x: x.argmax(), "argmax"),
        (lambda x: np.einsum("ii->i", x), "numpy.einsum of ii->i"),
    ],
)  # fmt: skip
def test_a_step_without_a_rule_is_refused(forward: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"cannot be followed.*{words}"):
        FollowedRun(forward, [A], {0: np.zeros(A.shape)})


def test_a_maximum_is_followed_where_no_other_entry_may_be_the_greatest() -> None:
    """Its slope is 1 at that entry, and 0 at the others; at a tie there are two."""
    x = np.array([[1.0, 3.0, 2.0], [5.0, -1.0, 4.0]])
    for forward in (lambda x: x.max(axis=1), lambda x: np.max(x, axis=1)):
        run = FollowedRun(forward, [x], {0: np.full(x.shape, 1e-30)})
        np.testing.assert_array_equal(run.outputs[0].value, [3.0, 5.0])
        slopes = run.back([exactly(np.array([2.0, 7.0]))])[0].value
        np.testing.assert_array_equal(slopes, [[0, 2, 0], [7, 0, 0]])
    for second in (3.0, 3.0 * (1 + 1e-12)):
        tied = np.array([[1.0, 3.0, second]])
        with pytest.raises(ValueError, match="maximum of entries that are alike"):
            FollowedRun(lambda x: x.max(axis=1), [tied], {0: np.zeros(tied.shape)})


def test_a_write_through_a_view_is_seen_by_its_numbers() -> None:
    def through_a_view(x: Any) -> Any:
        out = x * 2.0
        row = out[0]
        row[1] = 7.0
        return out

    with pytest.raises(ValueError, match="different numbers"):
        FollowedRun(through_a_view, [A], {0: np.zeros(A.shape)})


def test_a_model_with_such_a_step_says_which() -> None:
    call = Call("pad", (A,), (np.pad(A, ((0, 0), (1, 2))),), {"pad": (1, 2)}, "here:1")
    with pytest.raises(ValueError, match="exact_gradient: pad is neither elementwise"):
        _followed(call, {0: np.zeros(A.shape)})
