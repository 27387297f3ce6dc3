"""Every row of the register: by hand, in torch, and by the exact derivative of the forward."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.register.row import Operation
from torch_parity.manual.recording import option_names, recording

ROWS = [(op, options) for op in OPERATIONS.values() for options in op.options]
IDS = [f"{op.name}-{'-'.join(map(str, options.values()))}".rstrip("-") for op, options in ROWS]
every_row = pytest.mark.parametrize(("op", "options"), ROWS, ids=IDS)

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

# of a probability, a mask and what overflows there is no thousandfold
UNSCALED = ("binary_cross_entropy", "dropout", "exp")

seeds = st.integers(0, 2**32 - 1)
exponents = st.integers(-3, 3)


def many(made: Any) -> list[Any]:
    """Several outputs, or the one."""
    return list(made) if isinstance(made, tuple) else [made]


def draw(
    op: Operation, options: dict[str, Any], seed: int, dtype: str, scale: float = 1.0
) -> tuple[dict[str, Any], list[Any]]:
    """Inputs, and random upstream gradients (all ones would hide a wrong softmax)."""
    rng = np.random.default_rng(seed)
    inputs = op.samples(rng, dtype)
    if scale != 1 and op.name not in UNSCALED:
        inputs = {
            n: (a * a.dtype.type(scale) if a.dtype.kind == "f" else a) for n, a in inputs.items()
        }
    if op.kind in ("loss", "penalty"):
        return inputs, []
    made = op.continued(many(op.forward(*inputs.values(), **options)))
    return inputs, [rng.normal(0, 2, a.shape).astype(dtype) for a in made]


def by_hand(op: Operation, options: dict[str, Any], inputs: list[Any], upstream: Any) -> list[Any]:
    """[outputs..., gradients...] by hand; Bounded inputs give bounded results."""
    return [*many(op.forward(*inputs, **options)), *op.gradients(upstream, inputs, options)]


def by_torch(
    op: Operation, options: dict[str, Any], inputs: dict[str, Any], upstream: list[Any]
) -> list[np.ndarray]:
    """[outputs..., gradients...] of the twin, by autograd."""
    differentiated = op.differentiated(list(inputs))
    tensors = {
        name: torch.tensor(a, requires_grad=name in differentiated) for name, a in inputs.items()
    }
    outputs = many(op.twin(**options)(*tensors.values()))
    arriving = [torch.tensor(a) for a in upstream] if upstream else None
    wanted = [tensors[name] for name in differentiated]
    grads = torch.autograd.grad(op.continued(outputs), wanted, arriving) if wanted else ()
    return [x.detach().numpy() for x in (*outputs, *grads)]


def bounded(op: Operation, options: dict[str, Any], inputs: Any, upstream: Any) -> list[Any]:
    """What by_hand makes, with its bounds; each result by every right formula of the row."""
    exact = [Bounded.exact(a) if a.dtype.kind == "f" else a for a in inputs.values()]
    arriving = [Bounded.exact(a) for a in upstream]
    first = by_hand(op, options, exact, arriving)
    if not op.also:
        return [(result,) for result in first]
    outputs = many(op.also.get("forward", op.forward)(*exact, **options))
    backward = op.also.get("backward", op.backward)
    taken = {n: v for n, v in options.items() if n in option_names(backward)}
    grads = many(backward(*op.asked(backward, exact, outputs, arriving), **taken))
    return list(zip(first, [*outputs, *grads], strict=True))


def check(op: Operation, options: dict[str, Any], seed: int, dtype: str, scale: float) -> None:
    """Both sides within the derived bound of the same computation in higher precision."""
    inputs, upstream = draw(op, options, seed, dtype, scale)
    exact = bounded(op, options, inputs, upstream)
    manual = by_hand(op, options, list(inputs.values()), upstream)
    twin = by_torch(op, options, inputs, upstream)
    for i, (by_each, m, t) in enumerate(zip(exact, manual, twin, strict=True)):
        for side, came in (("manual", m), ("torch", t)):
            where = f"{op.name} {options} result {i} by {side}, seed {seed}, {dtype}, scale {scale}"
            assert came.dtype == dtype, where
            assert came.shape == by_each[0].shape, where
            over = min((np.abs(came - e.value) - e.error).max(initial=0.0) for e in by_each)
            assert over <= 0, f"{where}: over its bound by {over:.3g}"


@every_row
@both_dtypes
@settings(max_examples=10)
@given(seed=seeds, exponent=exponents)
def test_both_sides_stay_within_the_derived_bound(
    op: Operation, options: dict[str, Any], dtype: str, seed: int, exponent: int
) -> None:
    check(op, options, seed, dtype, scale=10.0**exponent)


@pytest.mark.slow
@every_row
@both_dtypes
@given(seed=seeds, exponent=exponents)
def test_many_drawings_stay_within_the_derived_bound(
    op: Operation, options: dict[str, Any], dtype: str, seed: int, exponent: int
) -> None:
    check(op, options, seed, dtype, scale=10.0**exponent)


@every_row
@settings(max_examples=10)
@given(seed=seeds)
def test_backward_is_the_exact_derivative_of_forward(
    op: Operation, options: dict[str, Any], seed: int
) -> None:
    """Complex step: Im f(x + i h v) / h is the derivative along v without any difference, so the
    backward has a witness that shares no code with it, nor with torch."""
    inputs, upstream = draw(op, options, seed, "float64")
    rng = np.random.default_rng(seed + 1)
    gradients = op.gradients(upstream, list(inputs.values()), options)
    for name, gradient in zip(op.differentiated(list(inputs)), gradients, strict=True):
        direction = rng.normal(size=inputs[name].shape)
        moved = inputs | {name: inputs[name] + 1e-200j * direction}
        outputs = op.continued(many(op.forward(*moved.values(), **options)))
        slopes = [np.imag(a) / 1e-200 for a in outputs]
        terms = [s * u for s, u in zip(slopes, upstream or [1.0], strict=True)]
        exact = sum(map(np.sum, terms))
        # each sum rounds at the size of its terms, however much of them cancels
        size = max(np.abs(gradient * direction).sum(), sum(np.abs(t).sum() for t in terms))
        assert abs(np.sum(gradient * direction) - exact) <= 1e-13 * size, (
            f"{op.name} {options} d{name}, seed {seed}"
        )


@every_row
@both_dtypes
def test_a_wrong_backward_is_seen(op: Operation, options: dict[str, Any], dtype: str) -> None:
    """The bound must be able to fail: one entry, off by 1e-4 of itself."""
    inputs, upstream = draw(op, options, 5, dtype)
    for result, *_ in bounded(op, options, inputs, upstream):
        if not result.value.any():
            continue  # nothing is clipped, so the norm has no gradient
        largest = np.unravel_index(np.abs(result.value).argmax(), result.shape)
        wrong = result.value.copy()
        wrong[largest] *= 1 + 1e-4
        assert np.any(np.abs(wrong - result.value) > result.error)


@pytest.mark.parametrize("op", OPERATIONS.values(), ids=OPERATIONS)
def test_a_call_of_every_operation_is_recorded(op: Operation) -> None:
    inputs, _ = draw(op, op.options[0], 3, "float64")
    with recording() as tape:
        given_to = tape.give(inputs)
        op.forward(*given_to.values(), **op.options[0])
    assert tape.calls[-1].operation == op.name


@every_row
def test_no_argument_is_written_to_or_handed_back(op: Operation, options: dict[str, Any]) -> None:
    inputs, upstream = draw(op, options, 3, "float64")
    before = {name: a.copy() for name, a in inputs.items()}
    for a in inputs.values():
        a.setflags(write=False)
    results = by_hand(op, options, list(inputs.values()), upstream)
    assert all(np.array_equal(before[name], inputs[name]) for name in inputs)
    given = [*inputs.values(), *upstream]
    assert not any(np.shares_memory(r, a) for r in map(np.asarray, results) for a in given)


def defaults(function: Any) -> dict[str, Any]:
    """Of the parameters that have one; none where Python cannot tell."""
    try:
        known = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: p.default for p in known if p.default is not p.empty}


@pytest.mark.parametrize("op", OPERATIONS.values(), ids=lambda op: op.name)
def test_the_defaults_are_torchs_in_forward_and_backward(op: Operation) -> None:
    own = defaults(op.forward)
    classes = (op.module,) if isinstance(op.module, str) else ()
    torchs = (
        getattr(torch.nn.functional, op.name, None),
        *(getattr(torch.nn, name, None) for name in classes),
    )
    twins = [op.twin, op.backward, *filter(None, (op.backward_parameters, *torchs))]
    for twin in twins:
        for name, value in defaults(twin).items():
            if value is not None and name in own:  # pad's value and softmax's dim are None in torch
                assert own[name] == value, f"{op.name}, {twin}: {name}"
