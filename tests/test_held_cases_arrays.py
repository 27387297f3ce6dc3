"""Kinds of code on which an earlier judge was wrong: right forms pass, wrong ones fail by name.

Each kind is tried on several inputs of its own, written here without the code under test.
"""

from typing import Any, ClassVar

import numpy as np
import pytest

from torch_parity import Case, check, given
from torch_parity.compare.errors import InputError

SEEDS = range(4)
Arrays = dict[str, np.ndarray]


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def moons(seed: int, **options: Any) -> Case:
    choices = {"data": "moons", "hidden": (6,), "activation": "tanh", "p": 0.0, "l2": 0.0}
    return Case.model_validate(choices | {"bias_scale": 0.3, "seed": seed} | options)


class TestMasks:
    """given(masks=) holds 0 or 1/(1-p)."""

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.8])
    def test_a_mask_as_dropout_draws_it_is_taken(self, p: float, dtype: str, seed: int) -> None:
        case = moons(seed, p=p, dtype=dtype)
        shape = given(case)["mask1"].shape
        kept = np.random.default_rng(seed).random(shape) >= p
        keep_prob = np.dtype(dtype).type(1 - p)
        for mask in (kept / (1 - p), kept * (1 / (1 - p)), kept.astype(dtype) / keep_prob):
            at = given(case, masks={"mask1": mask})
            h1 = np.tanh(at["x"] @ at["W1"].T + at["b1"]) * at["mask1"]
            assert check({"h1": h1}, at).passed, f"seed {seed}"

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize(
        "spoil",
        {
            "0 and 1": lambda mask, rng: (mask > 0) * 1.0,
            "booleans": lambda mask, rng: mask > 0,
            "normal": lambda mask, rng: rng.normal(size=mask.shape),
            "1/p": lambda mask, rng: (mask > 0) / 0.3,
            "one entry off by 1e-6": lambda mask, rng: mask * (1 + 1e-6 * (mask > 0)),
            "negative": lambda mask, rng: -mask,
            "NaN": lambda mask, rng: np.where(mask > 0, np.nan, 0),
        }.items(),
        ids=lambda item: item[0],
    )
    def test_any_other_mask_is_refused(self, spoil: Any, seed: int) -> None:
        case = moons(seed, p=0.3)
        mask = spoil[1](given(case)["mask1"], np.random.default_rng(seed))
        with pytest.raises(InputError, match=r"mask1 holds .* expected 0 or 1/\(1-p\)"):
            given(case, masks={"mask1": mask})

    def test_without_dropout_no_unit_is_dropped(self) -> None:
        case = moons(0)
        ones = np.ones((64, 6))
        assert check({"h1": given(case)["x"] @ np.ones((2, 6))}, given(case)).passed is False
        given(case, masks={"mask1": ones})
        ones[3, 2] = 0
        with pytest.raises(InputError, match="p=0"):
            given(case, masks={"mask1": ones})


def mlp_step(at: Any, layers: int, g: Any = np.tanh, slope: Any = lambda a: 1 - a * a) -> Arrays:
    """A step of logistic regression behind hidden layers, samples in rows; no dropout."""
    t: Arrays = {}
    h = at["x"]
    for k in range(1, layers + 1):
        t[f"z{k}"] = h @ at[f"W{k}"].T + at[f"b{k}"]
        h = t[f"a{k}"] = g(t[f"z{k}"]) if k < layers else sigmoid(t[f"z{k}"])
    dz = (h - at["y"]) / h.size
    for k in range(layers, 0, -1):
        t[f"dz{k}"] = dz
        below = t[f"a{k - 1}"] if k > 1 else at["x"]
        t[f"dW{k}"], t[f"db{k}"] = dz.T @ below, dz.sum(axis=0)
        dz = dz @ at[f"W{k}"] * slope(below)
    return t


class TestTransposed:
    """A convention holds for all arrays of a kind or for none."""

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("hidden", [(5, 5), (5, 5, 5), (3, 4, 4)])
    def test_a_square_gradient_transposed_by_mistake(self, hidden: Any, seed: int) -> None:
        at = given(moons(seed, hidden=hidden))
        mine = mlp_step(at, len(hidden) + 1)
        assert check(mine, at).passed
        square = [n for n, a in mine.items() if n[:2] == "dW" and a.shape[0] == a.shape[1]]
        for wrong in ([square[0]], square):
            spoilt = mine | {n: mine[n].T for n in wrong}
            for handed in (spoilt, {n: spoilt[n] for n in (*wrong, "dz2", "a1", "dz3", "a2")}):
                report = check(handed, at)
                assert not report.passed, (wrong, seed)
                assert report.conventions == ()
                assert report.causes == ("weight_gradient_transposed",), (wrong, seed)

    def test_what_all_shapes_show_is_a_convention_also_of_the_square_ones(self) -> None:
        at = given(moons(1, hidden=(5, 5)))
        mine = mlp_step(at, 3)
        turned = {n: a.T if n[:2] == "dW" else a for n, a in mine.items()}
        report = check(turned, at)
        assert report.passed
        assert len(report.conventions) == 1
        for kept in ("dW1", "dW2", "dW3"):  # one array of the kind is not turned
            assert not check(turned | {kept: mine[kept]}, at).passed, kept


def adam_steps(at: Any, lr: float, count: int, spoil: str = "") -> list[Arrays]:
    """Some steps of Adam from t = 0; only the parameters are handed over."""
    b1, b2 = (0.999, 0.9) if spoil == "betas swapped" else (0.9, 0.999)
    params = {n: at[n] for n in ("W1", "b1", "W2", "b2")}
    v, s = ({n: np.zeros_like(p) for n, p in params.items()} for _ in range(2))
    done = []
    for t in range(1, count + 1):
        made = mlp_step({**at, **params}, 2)
        n = 1 if spoil == "frozen" else t
        new = {}
        for name, p in params.items():
            g = made[f"d{name}"]
            v[name], s[name] = b1 * v[name] + (1 - b1) * g, b2 * s[name] + (1 - b2) * g * g
            step = v[name] / (1 - b1**n), np.sqrt(s[name] / (1 - b2**n)) + 1e-8
            new[name] = p - lr * step[0] / step[1]
            if spoil == "stored":
                v[name] = step[0]
        params = new
        done.append(new)
    return done


class TestSeveralSteps:
    """One step cannot show a mistake in an optimizer's memory: several can, and the verdict says
    what is not shown."""

    NAMES: ClassVar = {
        "betas swapped": "adam_betas_swapped",
        "frozen": "adam_step_count_frozen",
        "stored": "adam_correction_stored",
    }

    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize("spoil", NAMES)
    def test_a_mistake_in_adams_memory(self, spoil: str, seed: int) -> None:
        at = given(moons(seed, hidden=(3,), optimizer="adam", lr=0.05), step=1)
        one, two, three = adam_steps(at, 0.05, 3, spoil)
        report = check(one, at)
        assert report.passed
        assert self.NAMES[spoil] in report.unshown
        assert self.NAMES[spoil] in report.verdict
        report = check([one, two, three], at)
        assert not report.passed
        assert report.causes == (self.NAMES[spoil],), (spoil, seed)
        root = report.judgement.root
        assert root is not None
        assert root.found.name.endswith("@2"), "the first step is right"

    @pytest.mark.parametrize("seed", SEEDS)
    def test_right_steps_pass_and_leave_nothing_unshown(self, seed: int) -> None:
        at = given(moons(seed, hidden=(3,), optimizer="adam", lr=0.05), step=1)
        report = check(adam_steps(at, 0.05, 3), at)
        assert report.passed, report.verdict
        assert report.unshown == ()
        assert len(report.judgement.differences) == 12

    def test_what_no_optimizer_step_was_handed_over_for_is_not_spoken_of(self) -> None:
        at = given(moons(0), step=1)
        assert check({"z1": at["x"] @ at["W1"].T + at["b1"]}, at).unshown == ()

    @pytest.mark.parametrize("mine", [[], [{}], [1, 2], "W1"])
    def test_bad_lists_are_refused(self, mine: Any) -> None:
        with pytest.raises(InputError):
            check(mine, moons(0))
