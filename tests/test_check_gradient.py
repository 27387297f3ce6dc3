"""check_gradient: a user's own pair of functions, every row of the register, and mistakes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from torch_parity import check_gradient
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.register.row import Operation

# what has no gradient (zero_state) has no backward to check
ROWS = [(op, options) for op in OPERATIONS.values() if op.differentiable for options in op.options]
IDS = [f"{op.name}-{'-'.join(map(str, options.values()))}".rstrip("-") for op, options in ROWS]


def pair_of(op: Operation, options: dict[str, Any], seed: int) -> Any:
    """(forward, backward, inputs, upstream) of the inputs that have a gradient."""
    rng = np.random.default_rng(seed)
    given = op.samples(rng, "float64")
    inputs = {n: given[n] for n in op.differentiated(list(given))}

    def all_of(args: Any) -> Any:
        moved = dict(zip(inputs, args, strict=True))
        if (padding := options.get("padding_idx")) is not None:  # its row is a constant
            moved["weight"] = np.array(moved["weight"])
            moved["weight"][padding] = given["weight"][padding]
        return list((given | moved).values())

    def one_or_many(found: tuple[Any, ...]) -> Any:
        return found if len(found) > 1 else found[0]

    def forward(*args: Any) -> Any:
        """check_gradient takes one output: several, but for a state, are laid end to end."""
        made = op.forward(*all_of(args), **options)
        if not isinstance(made, tuple):
            return made
        return np.concatenate([a.ravel() for a in op.continued(made)])

    def parted(u: Any) -> list[Any]:
        made = op.forward(*given.values(), **options)
        if not isinstance(made, tuple):
            return [u]
        ends = np.cumsum([a.size for a in op.continued(made)])[:-1]
        parts = zip(np.split(u, ends), op.continued(made), strict=True)
        return [part.reshape(a.shape) for part, a in parts]

    begins = op.kind in ("loss", "penalty")
    return (
        forward,
        (lambda *args: one_or_many(op.gradients([], all_of(args), options)))
        if begins
        else (lambda u, *args: one_or_many(op.gradients(parted(u), all_of(args), options))),
        inputs,
        None if begins else rng.normal(0, 2, np.shape(forward(*inputs.values()))),
    )


@pytest.mark.every(4)
@pytest.mark.parametrize(("op", "options"), ROWS, ids=IDS)
def test_every_operation_of_the_register(op: Operation, options: dict[str, Any]) -> None:
    for seed in range(20):
        forward, backward, inputs, upstream = pair_of(op, options, seed)
        c = check_gradient(forward, backward, inputs, upstream)
        assert c.method == "exact", f"seed {seed}: {c}"
        assert c.passed, f"seed {seed}: {c}"
        assert c.difference < 1e-13, f"seed {seed}: {c}"


def spoilt(backward: Any, which: int) -> Any:
    """The same backward, the largest entry of one gradient off by 1e-9 of itself."""

    def wrong(*args: Any) -> Any:
        made = backward(*args)
        gradients = [np.array(g) for g in (made if isinstance(made, tuple) else (made,))]
        g = gradients[which]
        g[np.unravel_index(np.abs(g).argmax(), g.shape)] *= 1 + 1e-9
        return tuple(gradients)

    return wrong


@pytest.mark.every(4)
@pytest.mark.parametrize(("op", "options"), ROWS, ids=IDS)
def test_an_error_of_1e_9_in_one_entry_is_found(op: Operation, options: dict[str, Any]) -> None:
    for seed in range(8):
        forward, backward, inputs, upstream = pair_of(op, options, seed)
        rng = np.random.default_rng(seed)
        right = backward(*(() if upstream is None else (upstream,)), *inputs.values())
        gradients = right if isinstance(right, tuple) else (right,)
        # 1e-9 of a gradient that is 0 is no error: the norm of gradients that are not clipped
        name = str(rng.choice([n for n, g in zip(inputs, gradients, strict=True) if np.any(g)]))

        c = check_gradient(forward, spoilt(backward, [*inputs].index(name)), inputs, upstream)
        assert c.wrong == (name,), f"seed {seed}: {c}"
        assert c.worst[0].parameter == name


Z = np.array([[0.3, -1.2], [2.0, 0.7]])


def test_a_forward_without_complex_numbers_gets_differences_and_says_so() -> None:
    """The first loses the complex part, the second only a part of the derivative."""
    for forward, slope in (
        (lambda z: np.abs(z) * 3, np.sign(Z) * 3),
        (lambda z: z * np.abs(z), 2 * np.abs(Z)),
    ):
        c = check_gradient(forward, lambda u, z, s=slope: u * s, {"z": Z}, Z + 1)
        assert (c.method, c.verdict, c.passed) == ("two-sided", "very likely right", True)
        assert "does not accept complex numbers" in str(c)
        c = check_gradient(forward, lambda u, z, s=slope: u * s * 1.01, {"z": Z}, Z + 1)
        assert (c.verdict, c.passed, c.wrong) == ("wrong", False, ("z",))


def test_a_wrong_gradient_beside_a_much_larger_one_is_wrong() -> None:
    """By itself: of both together 1e-9 is off. What rounding hides of it is unjudged."""

    def forward(a: Any, b: Any) -> float:
        return float(np.sum(1e4 * a * a) + np.sum(1e-5 * b * b))

    inputs = {"a": Z, "b": Z + 1}
    for factor, outcome in ((1, "UNJUDGED"), (1.01, "UNJUDGED"), (-1, "FAIL")):
        c = check_gradient(forward, lambda a, b, f=factor: (2e4 * a, f * 2e-5 * b), inputs)
        assert (c.method, c.outcome) == ("two-sided", outcome), (factor, c)
        assert "a" not in (*c.wrong, *c.unjudged)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("back", [False, True], ids=["stays", "goes back"])
def test_a_forward_in_a_lower_precision_is_unjudged_or_wrong(kind: Any, back: bool) -> None:
    """Two-sided differences see mistakes that are larger than its rounding, and no others."""

    def forward(z: Any) -> Any:
        a = np.tanh(np.real(z).astype(kind))
        return a.astype(np.float64) if back else a

    def backward(da: Any, z: Any, factor: float) -> Any:
        return factor * da * (1 - np.tanh(z) ** 2)

    z, da = Z.reshape(-1)[:3], np.array([1.0, -2.0, 0.5])
    for factor, outcome in ((1, "UNJUDGED"), (1.0001, "UNJUDGED"), (-1, "FAIL"), (0, "FAIL")):
        c = check_gradient(forward, lambda u, z, f=factor: backward(u, z, f), {"z": z}, da)
        assert (c.method, c.outcome) == ("two-sided", outcome), (factor, c)
        assert ("lower precision" in c.note) == (outcome == "UNJUDGED")


def test_either_slope_is_right_at_a_kink_and_no_other() -> None:
    z = np.zeros((2, 2))
    for slope, passes in ((0.0, True), (1.0, True), (1.5, False)):
        c = check_gradient(
            lambda z: np.where(z.real > 0, z, 0), lambda u, z, s=slope: u * s, {"z": z}, Z
        )
        assert c.passed == passes, slope


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="fix its dropout masks"):
        check_gradient(lambda z: z * rng.random(), lambda u, z: u, {"z": Z}, Z)
    with pytest.raises(ValueError, match="z is float32, expected float64"):
        check_gradient(lambda z: z, lambda u, z: u, {"z": Z.astype("float32")}, Z)
    with pytest.raises(ValueError, match=r"backward gives \[\(2,\)\], expected \[\(2, 2\)\]"):
        check_gradient(lambda z: z, lambda u, z: u[0], {"z": Z}, Z)
    with pytest.raises(ValueError, match=r"forward gives \(2, 2\), upstream is None"):
        check_gradient(lambda z: z, lambda z: z, {"z": Z})
    with pytest.raises(ValueError, match="inputs is empty"):
        check_gradient(lambda: Z, lambda u: (), {}, Z)


def test_a_gradient_of_nan_is_wrong() -> None:
    assert not check_gradient(lambda z: z, lambda u, z: u * np.nan, {"z": Z}, Z).passed


def test_a_right_backward_whose_terms_cancel_passes() -> None:
    """Added up in another order 2,001 terms of 1e6 that leave 1e-3 differ by 1e-9, which is 1e-6 of
    it; 1 - tanh^2 keeps three digits at 15. Neither depends on an input's last place."""
    rng = np.random.default_rng(0)
    v = rng.normal(size=1000) * 1e6
    upstream = rng.permutation([*v, *-v, 1e-3])
    b = {"b": np.array([0.5])}

    def backward(u: np.ndarray, b: np.ndarray) -> np.ndarray:
        return u[::-1].sum(keepdims=True)

    right = check_gradient(lambda b: b + np.zeros(2001), backward, b, upstream)
    assert (right.method, right.outcome) == ("exact", "PASS"), right
    assert right.difference > 1e-7
    wrong = check_gradient(
        lambda b: b + np.zeros(2001), lambda u, b: backward(u, b) * 1.01, b, upstream
    )
    assert wrong.outcome != "PASS", wrong
    z = {"z": np.array([15.0, 16.0])}
    right = check_gradient(np.tanh, lambda u, z: u * (1 - np.tanh(z) ** 2), z, np.ones(2))
    assert right.outcome == "PASS", right
    assert right.difference > 1e-5
    for factor, outcome in ((1 + 1e-3, "UNJUDGED"), (1.1, "FAIL"), (-1, "FAIL"), (0, "FAIL")):
        wrong = check_gradient(
            np.tanh, lambda u, z, f=factor: f * u * (1 - np.tanh(z) ** 2), z, np.ones(2)
        )
        assert wrong.outcome == outcome, (factor, wrong)


def test_what_only_one_sign_calls_rounding_is_unjudged() -> None:
    """At 40 nothing is left of 1 - tanh^2, in long double either; of a backward that multiplies by
    1e8 and takes it away again, its forward does not know."""
    for z in (40.0, 45.0):
        c = check_gradient(
            np.tanh, lambda u, z: u * (1 - np.tanh(z) ** 2), {"z": np.array([z])}, np.ones(1)
        )
        assert (c.outcome, c.unjudged, c.wrong) == ("UNJUDGED", ("z",), ()), c
        assert not c.passed
    there_and_back = lambda u, x: u * (1 + 1e8) - u * 1e8  # noqa: E731
    u = np.array([0.3, 0.7])
    c = check_gradient(lambda x: x * 1.0, there_and_back, {"x": Z[0]}, u)
    assert (c.method, c.outcome) == ("exact", "UNJUDGED"), c
    # a forward that does the same keeps 8 digits of x, and the step is as long as that asks for
    c = check_gradient(lambda x: x * (1 + 1e8) - x * 1e8, there_and_back, {"x": Z[0]}, u)
    assert (c.method, c.outcome) == ("two-sided", "PASS"), c
    c = check_gradient(lambda x: x * (1 + 1e8) - x * 1e8, lambda u, x: 2 * u, {"x": Z[0]}, u)
    assert c.outcome == "FAIL", c


def test_without_long_double_what_may_be_rounding_is_unjudged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch_parity.compare.gradients.own_pair.Pair._in_long_double", no_numbers)
    for factor, outcome in ((1.0, "UNJUDGED"), (1.1, "FAIL")):
        c = check_gradient(
            np.tanh,
            lambda u, z, f=factor: f * u * (1 - np.tanh(z) ** 2),
            {"z": np.array([15.0, 16.0])},
            np.ones(2),
        )
        assert c.outcome == outcome, c


def no_numbers(*_: Any) -> dict[str, np.ndarray]:
    return {}


def test_a_wrong_entry_beside_a_much_larger_one() -> None:
    """Rounding in sums of 1e8 is more than the error; but nothing of that size is added up here."""
    scale = np.array([1e8, 1e-8])

    def forward(a: Any) -> Any:
        return (scale * a).sum()

    a = np.array([1.0, 2.0])
    assert check_gradient(forward, lambda a: scale, {"a": a}).outcome == "PASS"
    c = check_gradient(forward, lambda a: scale * np.array([1, 1.001]), {"a": a})
    assert (c.outcome, c.wrong) == ("FAIL", ("a",))


def in_place(change: Callable[..., object]) -> Callable[..., Any]:
    """It writes into its first argument and returns it."""

    def written(first: Any, *others: Any) -> Any:
        change(first, *others)
        return first

    return written


IN_PLACE: dict[str, tuple[Any, Any, Any]] = {
    "a backward in its upstream": (
        lambda z: np.where(z > 0, z, 0.01 * z),
        in_place(lambda u, z: np.multiply(u, np.where(z > 0, 1, 0.01), out=u)),
        in_place(lambda u, z: u.__setitem__(z < 0, 0)),
    ),
    "a backward divides it": (
        lambda z: z * 1.0,
        lambda u, z: u,
        in_place(lambda u, z: np.divide(u, len(u), out=u)),
    ),
    "a backward in its input": (
        np.tanh,
        lambda u, z: u * (1 - np.tanh(z, out=z) ** 2),
        lambda u, z: u * (1 - np.tanh(np.tanh(z, out=z)) ** 2),
    ),
    "a forward in its input": (
        in_place(lambda z: z.__setitem__(z < 0, 0)),
        lambda u, z: u * (z > 0),
        lambda u, z: u,
    ),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_functions_that_write_into_their_arguments(name: str) -> None:
    """They are given copies, so nothing that they write reaches what they are compared with."""
    forward, right, wrong = IN_PLACE[name]
    rng = np.random.default_rng(8)
    z, u = rng.normal(size=(2, 3, 4))
    for backward, outcome in ((right, "PASS"), (wrong, "FAIL")):
        at, upstream = z.copy(), u.copy()
        c = check_gradient(forward, backward, {"z": at}, upstream)
        assert c.outcome == outcome, c
        np.testing.assert_array_equal(at, z)
        np.testing.assert_array_equal(upstream, u)
