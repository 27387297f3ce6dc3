"""How large the bounds of the exact gradient are, on cases worked out on paper."""

import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from torch_parity import manual
from torch_parity.manual.models.step import Tensors

MODULE = sys.modules["torch_parity.manual.gradients.exact_gradient"]
rng = np.random.default_rng(31)


@pytest.mark.parametrize(("activation", "low"), [("relu", 0.0), ("leaky_relu", 0.25)])
def test_at_a_kink_the_middle_and_half_the_interval(activation: str, low: float) -> None:
    """All z1 are 0: each unit's slope is anything from low to 1, for each sample apart."""
    net = manual.MLP((3, 4, 2), activation, loss="mse_loss", reduction="sum", negative_slope=0.25)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    params = {
        "W1": np.zeros((4, 3)),
        "b1": np.zeros(4),
        "W2": rng.normal(size=(2, 4)),
        "b2": rng.normal(size=2),
    }
    exact = manual.exact_gradient(net, params, x, y, {})
    dh = 2 * (params["b2"] - y) @ params["W2"]
    middle, half = (1 + low) / 2, (1 - low) / 2
    np.testing.assert_allclose(exact.gradients["b1"], middle * dh.sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(exact.gradients["W1"], middle * dh.T @ x, rtol=1e-13)
    np.testing.assert_allclose(exact.jumps["b1"], half * np.abs(dh).sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(exact.jumps["W1"], half * np.abs(dh).T @ np.abs(x), rtol=1e-13)
    assert exact.kinks == 20
    for name in ("W2", "b2"):
        assert not exact.jumps[name].any()
    for name, bound in exact.bounds.items():
        rounding = bound - exact.jumps[name]
        assert np.all(rounding > 0), name
        assert np.all(rounding < 1e-11), name


@pytest.mark.parametrize("l1", [0.5, -0.5])
def test_a_weight_of_0_under_l1(l1: float) -> None:
    """Its slope is anything between -l1 / 2m and l1 / 2m; biases have none."""
    net = manual.MLP((2, 3), loss="mse_loss", l1=l1, l2=0.75, m=8)
    params = {"W1": np.array([[0.0, 1.0], [2.0, -3.0], [0.5, 0.0]]), "b1": np.zeros(3)}
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    exact = manual.exact_gradient(net, params, x, y, {})
    at_0 = params["W1"] == 0
    np.testing.assert_array_equal(exact.jumps["W1"], np.where(at_0, 1 / 32, 0.0))
    assert not exact.jumps["b1"].any()
    assert exact.kinks == 2
    loss = (2 / 12) * (x @ params["W1"].T - y).T @ x
    expected = loss + l1 / 16 * np.sign(params["W1"]) + 0.75 / 8 * params["W1"]
    np.testing.assert_allclose(exact.gradients["W1"], expected, rtol=1e-13)
    without = manual.exact_gradient(replace(net, l1=0.0), params, x, y, {})
    assert (without.kinks, without.jumps["W1"].any()) == (0, False)


def test_a_few_samples_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sample has as many slopes as the widest layer that reads whole rows has squares. Two at
    least: a sample alone does not show that samples are mixed."""
    monkeypatch.setattr(MODULE, "NUMBERS_AT_ONCE", 48)

    def parts(widest: tuple[int, int] = (3, 4), **options: str) -> list[tuple[int, int]]:
        net = manual.MLP((9, *widest, 2), **options)  # type: ignore[arg-type]
        return [s.indices(20)[:2] for s in MODULE._parts(net, 20)]

    assert parts() == [(0, 12), (12, 20)]
    assert parts(activation="softmax") == [(k, min(k + 3, 20)) for k in range(0, 20, 3)]
    assert parts((4, 3), activation="softmax") == parts(activation="softmax")
    monkeypatch.setattr(MODULE, "NUMBERS_AT_ONCE", 3)
    assert parts() == [(k, k + 2) for k in range(0, 20, 2)]


def test_many_samples_count_as_one_batch() -> None:
    """In blocks of any size the mean is over all samples, with masks."""
    net = manual.MLP((3, 4, 2), "tanh", loss="mse_loss", l2=0.5, m=6)
    params = {n: rng.normal(size=s) for n, s in net.shapes().items()}
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    masks = {"mask1": manual.dropout_mask(rng, (6, 4), 0.25)}
    h = np.tanh(x @ params["W1"].T + params["b1"]) * masks["mask1"]
    dz2 = 2 / 12 * (h @ params["W2"].T + params["b2"] - y)
    dz1 = (dz2 @ params["W2"]) * masks["mask1"] * (1 - (h / np.where(h, masks["mask1"], 1)) ** 2)
    expected = {
        "W1": dz1.T @ x + 0.5 / 6 * params["W1"],
        "b1": dz1.sum(axis=0),
        "W2": dz2.T @ h + 0.5 / 6 * params["W2"],
        "b2": dz2.sum(axis=0),
    }
    with pytest.MonkeyPatch.context() as patch:
        for at_once in (2**20, 4):  # 4: two samples at a time
            patch.setattr(MODULE, "NUMBERS_AT_ONCE", at_once)
            exact = manual.exact_gradient(net, params, x, y, masks)
            assert list(exact.gradients) == list(exact.bounds) == list(exact.jumps) == list(params)
            for name, g in expected.items():
                np.testing.assert_allclose(exact.gradients[name], g, rtol=1e-12, atol=1e-15)
                assert np.all(np.abs(exact.gradients[name] - g) <= exact.bounds[name]), name
                assert np.all(exact.bounds[name] < 1e-12), name


def test_what_cannot_be_exact_is_refused() -> None:
    net = manual.MLP((3, 4, 2))
    params = {n: rng.normal(size=s) for n, s in net.shapes().items()}
    x, y = rng.normal(size=(6, 3)), rng.integers(0, 2, 6)
    mask = manual.dropout_mask(rng, (6, 4), 0.25, np.float32)
    with pytest.raises(ValueError, match="mask1 is float32"):
        manual.exact_gradient(net, params, x, y, {"mask1": mask})
    with pytest.raises(ValueError, match="x is float32"):
        manual.exact_gradient(net, params, x.astype(np.float32), y, {})
    assert manual.exact_gradient(net, params, x[:1], y[:1], {}).kinks == 0


def variances(
    net: manual.MLP, params: dict[str, np.ndarray], x: np.ndarray
) -> tuple[list[float], list[float]]:
    """The gradients for targets 0, and the variances behind their bounds, in u^2, u = 2^-53."""
    params = {n: np.asarray(p, np.float64) for n, p in params.items()}
    exact = manual.exact_gradient(net, params, x, np.zeros((len(x), 1)), {})
    bounds = [float(exact.bounds[n].squeeze()) for n in params]
    return [float(exact.gradients[n].squeeze()) for n in params], [
        (b / 8 * 2.0**53) ** 2 for b in bounds
    ]


def test_the_bound_of_a_sum_that_cancels() -> None:
    """z = 2^20 + (1 - 2^20) = 1. On paper: x has (8 * 2^10)^2; so z has (2^26 + 4^2 * 2^20) 2^20
    + (2 * 2^20)^2 = 21 * 2^42, its slope 2 z four times that; W's is 2^20 times more."""
    net = manual.MLP((1, 1), loss="mse_loss", reduction="sum")
    params = {"W1": np.array([[2.0**10]]), "b1": np.array([1 - 2.0**20])}
    values, found = variances(net, params, np.array([[2.0**10]]))
    assert values == [2.0**11, 2.0]
    assert found == pytest.approx([84 * 2.0**62, 84 * 2.0**42], rel=1e-4)


@pytest.mark.parametrize(("reduction", "share"), [("sum", 1.0), ("mean", 0.25)])
def test_the_bound_of_a_sum_over_samples(reduction: str, share: float) -> None:
    """Four samples with z = 1, and W = 2^-30. On paper: z has (2 u)^2, its slope 2 has four times
    that and (8 * 3)^2 = 592; as one of 4 terms (7 * 2)^2 more, 788; db has four of those. For dW
    each has 2^20 times as much, and 2^2 times the 2^26 of x; 2^26 are the rounding of the sum with
    a penalty of 0."""
    net = manual.MLP((1, 1), loss="mse_loss", reduction=reduction)
    params = {"W1": np.array([[2.0**-30]]), "b1": np.ones(1)}
    values, found = variances(net, params, np.full((4, 1), 2.0**10))
    assert values == pytest.approx([share * 2**13, share * 8], rel=1e-5)
    of_W = 4 * (788 * 2**20 + 4 * 2**26) + 2**26
    assert found == pytest.approx([share**2 * of_W, share**2 * 4 * 788], rel=1e-4)


def test_the_bound_through_a_hidden_layer() -> None:
    """x = 1/2, W1 = 2, W2 = -4, no biases, on paper: h0 16, z1 (16 + 4) 4 = 80, a1 64 more, h1 64
    more: 208; z2 (208 + 16) 16 = 3584; its slope -8 has 4 times that and (8 * 9)^2: 19520.
    dW2: 19520 + (4 * 8)^2 + 8^2 * 208 + 8^2 = 33920. Back through W2: (19520 + 1024) 16, twice
    32^2 * (8 * 2)^2 more: 852992; dW1: (852992 + (4 * 32)^2) / 4 + 32^2 * 16 + 16^2 = 233984.
    How far the slope moves is seen to some units in its last place."""
    net = manual.MLP((1, 1, 1), activation="identity", loss="mse_loss", bias=False, reduction="sum")
    params = {"W1": np.array([[2.0]]), "W2": np.array([[-4.0]])}
    values, found = variances(net, params, np.array([[0.5]]))
    assert values == [16.0, -8.0]
    assert found == pytest.approx([233984, 33920], rel=0.06)


class Direct(manual.MLP):
    """A layer that reads x itself, without a copy of it."""

    def forward(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
    ) -> Tensors:
        z = manual.linear(x, params["W1"], params["b1"])
        return {"z1": z, self.result: manual.identity(z)}


def test_what_is_given_is_exact() -> None:
    """As above, without the 2^26 of x."""
    net = Direct((1, 1), loss="mse_loss", reduction="sum")
    params = {"W1": np.array([[2.0**-30]]), "b1": np.ones(1)}
    _, found = variances(net, params, np.full((4, 1), 2.0**10))
    assert found == pytest.approx([4 * 788 * 2**20 + 2**26, 4 * 788], rel=1e-4)


def test_where_bce_loss_holds_its_slope_anything_from_0_to_a_minus_y_is_right() -> None:
    """a = e^-29 and y = 1: a - y is -1 for each of two samples, to thirteen digits."""
    net = manual.MLP((1, 1), output="sigmoid", loss="binary_cross_entropy", reduction="sum")
    params = {"W1": np.zeros((1, 1)), "b1": np.full(1, -29.0)}
    exact = manual.exact_gradient(net, params, np.array([[1.0], [2.0]]), np.ones((2, 1)), {})
    found = [float(t[n].squeeze()) for n in ("b1", "W1") for t in (exact.gradients, exact.jumps)]
    assert found == pytest.approx([-1.0, 1.0, -1.5, 1.5], rel=1e-11)
    assert exact.kinks == 2


class AcrossSamples(manual.MLP):
    """Each unit's shares among the samples, which no block of samples alone has."""

    def forward(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
    ) -> Tensors:
        z = manual.linear(x, params["W1"], params["b1"])
        return {"z1": z, "a1": manual.identity(manual.softmax(z, dim=0))}


class MixedAtTheEnd(manual.MLP):
    """The same as the last operation."""

    def forward(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
    ) -> Tensors:
        z = manual.linear(x, params["W1"], params["b1"])
        return {"z1": z, "a1": manual.softmax(z, dim=0)}


@pytest.mark.parametrize(
    ("model", "at_once", "blocks"),
    [
        (manual.MLP, 2**20, [3]),
        (MixedAtTheEnd, 2**20, [3]),
        (MixedAtTheEnd, 1, [2, 1, 3]),
        (manual.MLP, 1, [2, 1]),
        (AcrossSamples, 2**20, [3]),
        (AcrossSamples, 1, [2, 1, 3]),
    ],
)
def test_what_mixes_samples_is_followed_with_all_of_them(
    monkeypatch: pytest.MonkeyPatch, model: type[manual.MLP], at_once: int, blocks: list[int]
) -> None:
    """For targets 0 the loss is the sum of z^2, z = x / 2, or of a^2, a their shares."""
    net = model((1, 1), loss="mse_loss", reduction="sum")
    x, params = np.array([[1.0], [-2.0], [3.0]]), {"W1": np.array([[0.5]]), "b1": np.zeros(1)}
    made: list[int] = []
    block = MODULE.BlockGradient

    def counted(net: manual.MLP, params: Tensors, x: np.ndarray, *others: object) -> object:
        made.append(len(x))
        return block(net, params, x, *others)

    monkeypatch.setattr(MODULE, "BlockGradient", counted)
    monkeypatch.setattr(MODULE, "NUMBERS_AT_ONCE", at_once)
    exact = manual.exact_gradient(net, params, x, np.zeros((3, 1)), {})
    assert made == blocks
    a = np.exp(x / 2) / np.exp(x / 2).sum()
    dz = x if model is manual.MLP else 2 * a * (a - (a * a).sum())
    expected = (dz * x).sum()
    np.testing.assert_allclose(exact.gradients["W1"], expected, rtol=1e-13)


def test_a_weight_that_nothing_reads_has_the_slope_of_its_penalty() -> None:
    """3/4 * 4 = 3: (8 * 3)^2, and 3^2 for the sum with the loss's 0."""
    net = Direct((1, 1, 1), loss="mse_loss", reduction="sum", l2=1.5, m=2)
    params = {"W1": np.ones((1, 1)), "b1": np.ones(1), "W2": np.full((1, 1), 4.0), "b2": np.ones(1)}
    values, found = variances(net, params, np.ones((1, 1)))
    assert values[2:] == [3.0, 0.0]
    assert found[2] == pytest.approx(65 * 9)
    assert found[3] == pytest.approx(0, abs=1e-9)
