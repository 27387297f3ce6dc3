"""Kinds of code on which an earlier judge was wrong: right forms pass, wrong ones fail by name.

Each kind is tried on several inputs of its own, written here without the code under test.
"""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from tests import slow
from torch_parity import COURSE, Case, Layout, check, check_gradient, given
from torch_parity.compare.errors import InputError

SEEDS = range(3)
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
    @pytest.mark.every(3)
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


ADAM_COUNTS = ("adam_step_count_frozen", "adam_step_count_from_zero")


class TestSeveralSteps:
    """One step cannot show a mistake in an optimizer's memory: several can, and the verdict says
    what is not shown."""

    NAMES: ClassVar = {
        "betas swapped": "adam_betas_swapped",
        "frozen": "adam_step_count_frozen",
        "stored": "adam_correction_stored",
    }

    @pytest.mark.parametrize("seed", [3])
    @pytest.mark.parametrize("spoil", slow.after(1, NAMES))
    def test_a_mistake_in_adams_memory(self, spoil: str, seed: int) -> None:
        at = given(moons(seed, hidden=(2,), optimizer="adam", lr=0.05), step=1)
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

    @pytest.mark.parametrize("recorded", slow.after(1, ["all", "parameters alone"]))
    @pytest.mark.parametrize(
        ("name", "t"),
        {
            "adam_step_count_frozen": lambda step: 2,
            "adam_step_count_from_zero": lambda step: 1 + step,
        }.items(),
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_counter_that_stands_is_told_from_one_that_is_behind(
        self, name: str, t: Any, recorded: str
    ) -> None:
        """Alike in the first step, whose right t is 3; not in the next."""
        at = given(moons(3, hidden=(2,), optimizer="adam", lr=0.05), step=3)
        done: list[Arrays] = []
        state: Arrays = {}
        for step in (1, 2):
            mine = mlp_step({**at, **state}, 2)
            state |= adam_update({**at, **state}, mine, 0.05, t=lambda _, place, step=step: t(step))
            counters = {f"t{n}": np.array(t(step)) for n in ("W1", "b1", "W2", "b2")}
            alone = {n: state[n] for n in ("W1", "b1", "W2", "b2")}
            done.append(mine | state | counters if recorded == "all" else alone)
        one = check(done[:1], at).judgement.diagnoses["manual"]
        assert {frozenset({n}) for n in ADAM_COUNTS} == set(one.names), one
        assert check(done, at).causes == (name,)

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


class TestMomentum:
    """v = mu v - lr g with W = W + v takes the same steps as v = mu v + g with W = W - lr v."""

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("optimizer", ["momentum", "momentum_course"])
    @pytest.mark.parametrize(("form", "sign"), [("steps", -1), ("negative_steps", 1)])
    @pytest.mark.every(3)
    def test_a_velocity_is_a_convention(
        self, form: Any, sign: int, optimizer: str, dtype: str, seed: int
    ) -> None:
        lr, mu = 0.05, 0.9
        case = moons(seed, optimizer=optimizer, lr=lr, momentum=mu, dtype=dtype)
        for layout in (Layout(), Layout(momentum=form)):
            at = given(case, layout=layout)
            mine = mlp_step(at, 2)
            for n in ("W1", "b1", "W2", "b2"):
                v0 = at[f"v{n}"] if layout.momentum == form else np.float32(sign * lr) * at[f"v{n}"]
                if dtype == "float64" and layout.momentum != form:
                    v0 = sign * lr * at[f"v{n}"]
                gain = lr * (1 if optimizer == "momentum" else 1 - mu)
                v = mine[f"v{n}"] = mu * v0 + sign * gain * mine[f"d{n}"]
                mine[n] = at[n] - sign * v
            report = check(mine, at)
            assert report.passed, report.verdict
            assert len(report.conventions) == (layout.momentum != form)
            mine["vW1"] = -mine["vW1"]  # one v of the other sign is no convention
            assert not check(mine, at).passed

    @pytest.mark.parametrize("lr", [0.05, 0.1, 0.3])
    @pytest.mark.parametrize(("step", "count"), [(1, 1), (1, 2), (3, 1), (3, 2)])
    def test_the_courses_momentum_is_no_velocity(self, step: int, count: int, lr: float) -> None:
        """v = 0.9 v + 0.1 dW is as large as lr dW, but W = W - lr v shows what it is."""
        at = given(moons(0, optimizer="momentum", lr=lr, momentum=0.9), step=step)
        names, steps = ("W1", "b1", "W2", "b2"), []
        state = {**at}
        for _ in range(count):
            mine = mlp_step(state, 2)
            mine |= {f"v{n}": 0.9 * state[f"v{n}"] + 0.1 * mine[f"d{n}"] for n in names}
            mine |= {n: state[n] - lr * mine[f"v{n}"] for n in names}
            steps.append({n: a for n, a in mine.items() if n[0] in "vW" or n[:2] in ("dW", "db")})
            state |= mine
        report = check(steps, at)
        assert report.causes == ("momentum_convention",), report.verdict
        assert report.conventions == ()

    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_velocity_that_begins_from_the_sum_of_gradients_is_wrong(self, seed: int) -> None:
        at = given(moons(seed, optimizer="momentum", lr=0.05))
        mine = mlp_step(at, 2)
        v = 0.9 * at["vW1"] - 0.05 * mine["dW1"]
        assert not check({**mine, "vW1": v, "W1": at["W1"] + v}, at).passed


def course_step(at: Any, classes: Any, m_lambda: float = 1.0, reg: float = 0.0) -> Arrays:
    """The course's code for one hidden layer: samples in columns, 1/m in dW and db."""
    X, Y, m = at["x"], at["y"], at["x"].shape[1]
    Z1 = at["W1"] @ X + at["b1"]
    A1 = np.tanh(Z1)
    Z2 = at["W2"] @ A1 + at["b2"]
    AL = classes(Z2)
    if Y.ndim == 1:
        Y = np.eye(len(Z2))[Y].T
    dZ2 = AL - Y
    dZ1 = at["W2"].T @ dZ2 * (1 - A1**2)
    decay = reg / m_lambda
    squares = (at["W1"] ** 2).sum() + (at["W2"] ** 2).sum()
    cost = -(Y * np.log(AL)).sum() / m
    if classes is sigmoid:
        cost -= ((1 - Y) * np.log(1 - AL)).sum() / m
    return {
        "Z1": Z1,
        "A1": A1,
        "Z2": Z2,
        "AL": AL,
        "cost": np.asarray(cost + decay / 2 * squares),
        "dZ2": dZ2,
        "dW2": dZ2 @ A1.T / m + decay * at["W2"],
        "db2": dZ2.sum(axis=1, keepdims=True) / m,
        "dZ1": dZ1,
        "dW1": dZ1 @ X.T / m + decay * at["W1"],
        "db1": dZ1.sum(axis=1, keepdims=True) / m,
    }


def softmax_of_columns(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


def own_data(seed: int, outputs: int, m: int = 11) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, 3)), np.eye(outputs)[rng.integers(0, outputs, m)]


class TestCourse:
    """The course's names, its m, and its 1/m."""

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("hidden", [(4,), (5, 5), (6, 3, 3)])
    def test_the_first_notebook_stores_the_gradient_of_a1_under_da2(
        self, hidden: Any, seed: int
    ) -> None:
        at = given(moons(seed, hidden=hidden))
        depth = len(hidden) + 1
        mine = mlp_step(at, depth)
        shifted = {f"dA{k}": mine[f"dz{k}"] @ at[f"W{k}"] for k in range(1, depth + 1)}
        report = check(mine | shifted, at)
        assert report.passed, report.verdict
        assert len(report.conventions) == 1
        own = {f"dA{k - 1}": shifted[f"dA{k}"] for k in range(2, depth + 1)}
        assert check(mine | own, at).conventions == ()
        if depth > 2:  # one of the names in the other way
            mixed = shifted | {"dA1": own["dA1"]}
            assert not check(mine | mixed, at).passed
        wrong = shifted | {"dA2": shifted["dA2"] * 1.001}
        assert not check(mine | wrong, at).passed

    @pytest.mark.parametrize("seed", SEEDS)
    def test_lambdas_m_is_handed_out(self, seed: int) -> None:
        at = given(moons(seed, l2=0.7), layout=COURSE)
        assert at["m_train"] == 320
        report = check(course_step(at, sigmoid, m_lambda=float(at["m_train"]), reg=0.7), at)
        assert report.passed, report.verdict
        report = check(course_step(at, sigmoid, m_lambda=at["x"].shape[1], reg=0.7), at)
        assert report.causes == ("lambda_divided_by_the_batch",)

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize(
        ("penalty", "m", "named"),
        [("sum", 0.5, "penalty_of_the_plain_sum"), ("half_sum", 1, "lambda_not_divided_by_m")],
    )
    def test_a_penalty_of_the_sum_is_declared_or_named(
        self, penalty: str, m: float, named: str, seed: int
    ) -> None:
        at = given(moons(seed, l2=0.03, penalty=penalty), layout=COURSE, step=1)
        mine = course_step(at, sigmoid, m_lambda=m, reg=0.03)
        assert check(mine, at).passed
        report = check(mine, given(moons(seed, l2=0.03), layout=COURSE, step=1))
        assert report.causes == (named,)
        assert penalty in report.verdict

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("layout", [COURSE, Layout()], ids=["declared", "recognised"])
    def test_three_classes_by_softmax(self, layout: Layout, seed: int) -> None:
        x, y = own_data(seed, 3)
        case = Case(hidden=(4,), activation="tanh", loss="cross_entropy", p=0, l2=0, bias_scale=0.3)
        handed = given(case, x=x, y=y)
        at = given(case, x=x.T, y=y.T, layout=COURSE)
        mine = course_step(at, softmax_of_columns)
        report = check(mine, at if layout == COURSE else handed)
        assert report.passed, report.verdict
        mine["AL"] = mine["AL"] * 1.0001
        assert not check(mine, at).passed

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("handed", ["all", "gradients", "weights' gradients and dZ2"])
    def test_three_sigmoids_with_the_courses_own_1_over_m(self, handed: str, seed: int) -> None:
        x, y = own_data(seed, 3)
        case = Case(
            hidden=(4,), activation="tanh", loss="binary_cross_entropy", p=0, l2=0, bias_scale=0.3
        )
        own = {"x": x.T, "y": y.T, "layout": COURSE, "step": 1}
        at = given(case, **own)
        mine = course_step(at, sigmoid)
        if handed != "all":
            kept = ("d",) if handed == "gradients" else ("dW", "dZ2")
            mine = {n: a for n, a in mine.items() if n.startswith(kept)}
        report = check(mine, at)
        assert report.passed, report.verdict
        assert len([c for c in report.conventions if "batchmean" in c]) == 1
        declared = case.model_copy(update={"reduction": "batchmean"})
        assert check(mine, given(declared, **own)).passed
        spoilt = mine | {"dW2": mine["dW2"] * 3}
        assert not check(spoilt, at).passed

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("classes", [sigmoid, softmax_of_columns])
    def test_no_1_over_m_at_all(self, classes: Any, seed: int) -> None:
        if classes is sigmoid:
            at = given(moons(seed), layout=COURSE)
        else:
            x, y = own_data(seed, 3)
            case = Case(hidden=(4,), activation="tanh", loss="cross_entropy", p=0, l2=0)
            at = given(case, x=x.T, y=y.T, layout=COURSE)
        mine, m = course_step(at, classes), at["x"].shape[1]
        mine |= {n: mine[n] * m for n in ("dW1", "dW2", "db1", "db2")}
        report = check(mine, at)
        assert not report.passed
        assert report.causes == ("gradient_not_averaged",), report.verdict

    @pytest.mark.parametrize("name", ["dW1", "dW2", "db1", "db2"])
    @pytest.mark.parametrize("updated", [False, True])
    def test_no_1_over_m_in_one_gradient(self, name: str, updated: bool) -> None:
        """Everything else is handed over as well, and is right."""
        at = given(moons(0, optimizer="sgd", lr=0.2), layout=COURSE)
        right, m = course_step(at, sigmoid), at["x"].shape[1]
        mine = right | {name: right[name] * m}
        if updated:
            mine |= {n: at[n] - 0.2 * mine[f"d{n}"] for n in ("W1", "b1", "W2", "b2")}
        report = check(mine, at)
        assert report.causes == ("gradient_not_averaged",), report.verdict
        assert report.judgement.wrong["manual"] == (name,)
        others = {"dW": ("averaged_twice",), "db": ("bias_gradient_averaged",)}
        twice = check(right | {name: right[name] / m}, at)
        assert twice.causes == others[name[:2]], twice.verdict
        for factor in (m - 1, m + 1, 1 / (m - 1)):
            named = check(right | {name: right[name] * factor}, at).causes
            assert "gradient_not_averaged" not in named
            assert "averaged_twice" not in named


class TestActivations:
    """With p=0 the course's A1 is the activation, and what is known of it rules mistakes out."""

    @pytest.mark.parametrize(
        "names",
        [
            ("Z1", "A1", "Z2", "AL", "dZ2", "dW2", "db2", "dA1", "dZ1", "dW1", "db1"),
            ("Z1", "Z2", "AL", "dZ2", "dW2", "db2", "dA1", "dZ1", "dW1", "db1"),
            ("Z1", "A1", "dA1", "dZ1"),
        ],
        ids=len,
    )
    def test_a_forgotten_slope_is_no_forgotten_activation(self, names: tuple[str, ...]) -> None:
        at = given(moons(0), layout=COURSE)
        mine, m = course_step(at, sigmoid), at["x"].shape[1]
        dA1 = at["W2"].T @ mine["dZ2"]
        mine |= {"dA1": dA1, "dZ1": dA1, "dW1": dA1 @ at["x"].T / m}
        mine["db1"] = dA1.sum(axis=1, keepdims=True) / m
        report = check({n: mine[n] for n in names}, at)
        assert report.causes == ("slope_missing",), report.verdict

    def test_a_forgotten_activation_is_named(self) -> None:
        at = given(moons(0), layout=COURSE)
        Z1 = at["W1"] @ at["x"] + at["b1"]
        Z2 = at["W2"] @ Z1 + at["b2"]
        dZ1 = at["W2"].T @ (sigmoid(Z2) - at["y"])
        for mine in ({"Z1": Z1, "A1": Z1, "Z2": Z2, "dZ1": dZ1}, {"Z1": Z1, "Z2": Z2, "dZ1": dZ1}):
            assert check(mine, at).causes == ("activation_missing",)

    @pytest.mark.parametrize(("p", "name"), [(0.0, "a1"), (0.3, "h1")])
    def test_a1_is_what_dropout_leaves_only_where_there_is_any(self, p: float, name: str) -> None:
        at = given(moons(0, p=p), layout=COURSE)
        A1 = np.tanh(at["W1"] @ at["x"] + at["b1"]) * at["mask1"]
        report = check({"A1": A1}, at)
        assert report.passed
        assert [d.name for d in report.judgement.differences] == [name]


class TestCancellingForms:
    """tanh written with sigmoids is right, and loses digits: said, and not called another."""

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(
        "tanh",
        {
            "2 sigmoid(2z) - 1": lambda z, one: 2 / (1 + np.exp(-2 * z)) - one,
            "1 - 2 / (e^2z + 1)": lambda z, one: one - 2 / (np.exp(2 * z) + 1),
            "course": lambda z, one: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
        }.items(),
        ids=lambda item: item[0],
    )
    def test_tanh_of_exponentials(self, tanh: Any, dtype: str, seed: int) -> None:
        at = given(moons(seed, dtype=dtype, hidden=(8, 8)))
        one = np.dtype(dtype).type(1)
        mine = mlp_step(at, 3, g=lambda z: tanh[1](z, one), slope=lambda a: one - a * a)
        mine = {n: a.astype(dtype) for n, a in mine.items()}
        report = check(mine, at)
        assert report.passed, report.verdict
        mine["a1"] = mine["a1"] * np.dtype(dtype).type(1 + 3e-5)
        assert not check({"z1": mine["z1"], "a1": mine["a1"]}, at).passed

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("activation", ["elu", "softplus"])
    def test_elu_and_softplus_of_exponentials(self, activation: str, dtype: str, seed: int) -> None:
        at = given(moons(seed, dtype=dtype, hidden=(8, 8), activation=activation))
        one = np.dtype(dtype).type(1)
        g, slope = {
            "elu": (
                lambda z: np.where(z > 0, z, np.exp(z) - one),
                lambda a: np.where(a > 0, one, a + one),
            ),
            "softplus": (lambda z: np.log(one + np.exp(z)), lambda a: one - np.exp(-a)),
        }[activation]
        mine = {n: a.astype(dtype) for n, a in mlp_step(at, 3, g=g, slope=slope).items()}
        if activation == "softplus":  # its slope is written with the sigmoid, not with a
            mine = {n: mine[n] for n in ("z1", "a1", "z2", "a2", "z3", "a3", "dz3", "dW3", "db3")}
        report = check(mine, at)
        assert report.passed, report.verdict
        a1, z1 = mine["a1"], mine["z1"]
        assert check({"z1": z1, "a1": a1}, at).passed
        for wrong in (a1 * np.dtype(dtype).type(1 + 3e-5), np.where(z1 > 0, z1, 0 * z1), -a1):
            assert not check({"z1": z1, "a1": wrong.astype(dtype)}, at).passed
        if dtype == "float64":
            assert not check({"z1": z1, "a1": a1 * (1 + 1e-12)}, at).passed


def adam_update(at: Any, mine: Arrays, lr: float, **change: Any) -> Arrays:
    """W, v and s after one step of Adam, with some of its details changed."""
    made: Arrays = {}
    params = [n for n in ("W1", "b1", "W2", "b2") if n in at]
    for place, name in enumerate(params):
        g, t = mine[f"d{name}"], change.get("t", lambda t, place: t)
        n = t(int(at[f"t{name}"]) + 1, place)
        v = 0.9 * at[f"v{name}"] + 0.1 * g
        s = 0.999 * at[f"s{name}"] + 0.001 * g * g
        v_hat = v / (1 - 0.9**n) if change.get("v_corrected", True) else v
        s_hat = s / (1 - 0.999**n) if change.get("s_corrected", True) else s
        made[name] = at[name] - lr * v_hat / (np.sqrt(s_hat) + change.get("eps", 1e-8))
        stored = change.get("stored", "")
        made[f"v{name}"] = v_hat if "v" in stored else v
        made[f"s{name}"] = s_hat if "s" in stored else s
    return made


ADAM: dict[str, dict[str, Any]] = {
    "adam_second_moment_uncorrected": {"s_corrected": False},
    "adam_first_moment_uncorrected": {"v_corrected": False},
    "adam_bias_correction_missing": {"s_corrected": False, "v_corrected": False},
    "adam_another_epsilon": {"eps": 1e-7},
    "adam_correction_stored": {"stored": "v"},
    "adam_step_count_per_parameter": {"t": lambda t, place: t + place},
    "adam_step_count": {"t": lambda t, place: t + 160},
    "adam_step_count_frozen": {"t": lambda t, place: 1},
}


class TestNames:
    """Mistakes met in public code: each is named, and named alone."""

    @pytest.mark.parametrize("reg", [0.7, 7.0])
    def test_a_factor_that_only_the_biases_show_is_no_learning_rate(self, reg: float) -> None:
        """The penalty is clipped with the gradient: a step of b is right but for a factor."""
        case = moons(0, optimizer="sgd", lr=0.1, l2=reg, clip_norm=0.05)
        at = given(case, layout=COURSE, step=1)
        mine = course_step(at, sigmoid, m_lambda=float(at["m_train"]), reg=reg)
        names = ("W1", "b1", "W2", "b2")
        norm = np.sqrt(sum((mine[f"d{n}"] ** 2).sum() for n in names))
        clipped = 0.05 / (norm + 1e-6)
        new = {n: at[n] - 0.1 * clipped * mine[f"d{n}"] for n in names}
        report = check(new, at)
        assert report.outcome == "FAIL"
        assert report.causes == (), report.verdict
        as_loss = case.model_copy(update={"l2_route": "loss"})
        assert check(new, given(as_loss, layout=COURSE, step=1)).passed
        other = {n: at[n] - 0.11 * clipped * mine[f"d{n}"] for n in names}
        assert check(other, given(as_loss, layout=COURSE, step=1)).causes == ("learning_rate",)

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("name", ADAM)
    @pytest.mark.every(3)
    def test_adam(self, name: str, seed: int) -> None:
        at = given(moons(seed, optimizer="adam", lr=0.01))
        mine = mlp_step(at, 2)
        assert check(mine | adam_update(at, mine, 0.01), at).passed
        report = check(mine | adam_update(at, mine, 0.01, **ADAM[name]), at)
        assert report.causes == (name,), report.verdict

    @pytest.mark.parametrize("seed", SEEDS)
    def test_adam_from_zero_cannot_be_told_from_a_counter_that_stands(self, seed: int) -> None:
        at = given(moons(seed, optimizer="adam", lr=0.01))
        mine = mlp_step(at, 2)
        report = check(mine | adam_update(at, mine, 0.01, t=lambda t, place: t - 1), at)
        names = report.judgement.diagnoses["manual"].names
        assert set(names) == {
            frozenset({"adam_step_count_from_zero"}),
            frozenset({"adam_step_count_frozen"}),
        }

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("backward_alone", [True, False])
    def test_a_scale_without_its_mask(self, backward_alone: bool, seed: int) -> None:
        at = given(moons(seed, p=0.3))
        h1 = np.tanh(at["x"] @ at["W1"].T + at["b1"]) * (at["mask1"] if backward_alone else 1 / 0.7)
        a2 = sigmoid(h1 @ at["W2"].T + at["b2"])
        dz2 = (a2 - at["y"]) / len(a2)
        report = check({"h1": h1, "a2": a2, "dz2": dz2, "da1": dz2 @ at["W2"] / 0.7}, at)
        assert report.causes == ("scaled_without_mask",), report.verdict

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("handed", ["all", "without activations"])
    @pytest.mark.parametrize(
        ("name", "spoil"),
        {
            "bias_gradient_offset": lambda t, at: {"db1": t["db1"] + 0.25},
            "bias_gradient_before_the_slope": lambda t, at: {
                "db1": (t["dz2"] @ at["W2"]).sum(axis=0)
            },
            "bias_gradient_averaged": lambda t, at: {"db1": t["dz1"].mean(axis=0)},
            "weight_gradient_transposed": lambda t, at: {
                "dW1": (at["x"].T @ t["dz1"]).reshape(t["dW1"].shape)
            },
            "sign": lambda t, at: {"dW1": -t["dW1"]},
            "gradient_sign": lambda t, at: {
                "dz2": (at["y"] - t["a2"]) / len(t["a2"]),
                "dz1": -t["dz1"],
                **{n: -t[n] for n in ("dW1", "dW2", "db1", "db2")},
            },
        }.items(),
        ids=lambda value: value if isinstance(value, str) else "",
    )
    @pytest.mark.every(3)
    def test_gradients(self, name: str, spoil: Any, handed: str, seed: int) -> None:
        at = given(moons(seed))
        right = mlp_step(at, 2)
        mine = right | spoil(right, at)
        if handed != "all":
            mine = {n: a for n, a in mine.items() if n not in ("a1", "a2")}
        report = check(mine, at)
        assert report.causes == (name,), report.verdict

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("handed", [("dz2", "db2"), ("dz2", "db2", "dW2"), ("a2", "db2")])
    @pytest.mark.parametrize("layout", [Layout(), COURSE], ids=["torch's", "course's"])
    @pytest.mark.every(3)
    def test_a_mean_in_the_last_db_is_no_layout(
        self, layout: Layout, handed: Any, seed: int
    ) -> None:
        at = given(moons(seed), layout=layout)
        if layout == COURSE:
            mine = course_step(at, sigmoid)
            mine = {n.lower().replace("w", "W").replace("al", "a2"): a for n, a in mine.items()}
        else:
            mine = mlp_step(at, 2)
        mine["db2"] = mine["db2"] / at.m
        for start in (at, given(moons(seed))):
            report = check({n: mine[n] for n in handed}, start)
            names = set(report.judgement.diagnoses["manual"].names)
            alone = {frozenset({"bias_gradient_averaged"})}
            both = alone | {
                frozenset({"averaged_twice"})
            }  # of dW as well, which is not handed over
            assert names == (alone if "dW2" in handed else both), report.verdict

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("handed", ["all", "without activations"])
    def test_the_bias_is_subtracted(self, handed: str, seed: int) -> None:
        at = given(moons(seed))
        mine = mlp_step({**at, "b1": -at["b1"]}, 2)
        report = check({n: a for n, a in mine.items() if handed == "all" or n[0] != "a"}, at)
        assert report.causes == ("bias_subtracted",), report.verdict

    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_penalty_that_is_subtracted_with_its_numbers(self, seed: int) -> None:
        at = given(moons(seed, l2=0.7))
        mine = mlp_step(at, 2)
        for n in ("W1", "W2"):
            mine[f"d{n}"] = mine[f"d{n}"] - 0.7 / 320 * at[n]
        report = check(mine, at)
        assert report.causes == ("penalty_subtracted",), report.verdict
        assert "l2 is -0.7 here, expected 0.7." in report.verdict
        assert "dW = dW_loss + 0.7 / 320 * W" in report.verdict

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("recorded", ["z halved", "a of half of z"])
    def test_scores_that_are_halved(self, recorded: str, seed: int) -> None:
        at = given(moons(seed))
        a1 = np.tanh(at["x"] @ at["W1"].T + at["b1"])
        z2 = a1 @ at["W2"].T + at["b2"]
        mine = {"a1": a1, "z2": z2 / 2 if recorded == "z halved" else z2, "a2": sigmoid(z2 / 2)}
        report = check(mine, at)
        assert report.causes == ("scores_scaled",), report.verdict

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("recorded", [(), ("z2",), ("z2", "a2")])
    def test_softmax_twice(self, recorded: Any, seed: int) -> None:
        x, y = own_data(seed, 3, m=13)
        labels = y.argmax(axis=1)
        case = Case(hidden=(4,), activation="tanh", loss="cross_entropy", p=0, l2=0)
        at = given(case, x=x, y=labels)
        t: Arrays = {"a1": np.tanh(x @ at["W1"].T + at["b1"])}
        t["z2"] = t["a2"] = t["a1"] @ at["W2"].T + at["b2"]
        p = softmax(t["z2"])
        q = softmax(p)
        t["loss"] = np.asarray(-np.log(q[range(13), labels]).mean())
        dp = (q - y) / 13
        t["dz2"] = p * (dp - (dp * p).sum(axis=1, keepdims=True))
        report = check({n: t[n] for n in ("a1", "loss", "dz2", *recorded)}, at)
        assert report.causes == ("softmax_twice",), report.verdict

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
    def test_decayed_biases_are_no_forgotten_cast(self, optimizer: str, seed: int) -> None:
        at = given(moons(seed, optimizer=optimizer, l2=0.7, lr=0.05))
        mine = mlp_step(at, 2)
        mine |= {f"d{n}": mine[f"d{n}"] + 0.7 / 320 * at[n] for n in ("W1", "W2", "b1", "b2")}
        report = check(mine, at)
        assert report.causes == ("biases_decayed",), report.verdict

    @pytest.mark.parametrize("seed", SEEDS)
    def test_no_other_activation_where_none_was_handed_over(self, seed: int) -> None:
        at = given(moons(seed))
        t = mlp_step(at, 2, slope=lambda a: a * (1 - a))
        report = check({n: a for n, a in t.items() if n not in ("a1", "a2")}, at)
        assert report.causes == ("slope_of_another_activation",), report.verdict
        assert "tanh_backward" in report.verdict


class TestCases:
    """What a case can say: several outputs, an activation in each layer, layers without bias."""

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize(
        ("loss", "output"),
        [
            ("mse_loss", "identity"),
            ("mse_loss", "sigmoid"),
            ("mse_loss", "softmax"),
            ("binary_cross_entropy", "sigmoid"),
            ("binary_cross_entropy", "softmax"),
        ],
    )
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.every(3)
    def test_several_outputs(self, loss: str, output: str, bias: bool, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        x = rng.normal(size=(9, 3))
        y = rng.normal(size=(9, 2)) if loss == "mse_loss" else rng.integers(0, 2, (9, 2)) * 1.0
        case = Case(
            hidden=(5, 4),
            activation="relu,tanh",
            loss=loss,
            output=output,
            bias=bias,
            p=0,
            l2=0,
            bias_scale=0.3,
        )
        at = given(case, x=x, y=y)
        b = [at[f"b{k}"] if bias else 0.0 for k in (1, 2, 3)]
        t: Arrays = {"a1": np.maximum(x @ at["W1"].T + b[0], 0)}
        t["a2"] = np.tanh(t["a1"] @ at["W2"].T + b[1])
        t["z3"] = t["a2"] @ at["W3"].T + b[2]
        t["a3"] = a = {"identity": lambda z: z, "sigmoid": sigmoid, "softmax": softmax}[output](
            t["z3"]
        )
        if loss == "mse_loss":
            t["loss"], da = np.asarray(((a - y) ** 2).mean()), 2 * (a - y) / a.size
        else:
            t["loss"] = np.asarray(-(y * np.log(a) + (1 - y) * np.log(1 - a)).mean())
            da = (a - y) / (a * (1 - a)) / a.size
        t["dz3"] = {
            "identity": da,
            "sigmoid": da * a * (1 - a),
            "softmax": a * (da - (da * a).sum(axis=1, keepdims=True)),
        }[output]
        t["dW3"] = t["dz3"].T @ t["a2"]
        t["dz2"] = t["dz3"] @ at["W3"] * (1 - t["a2"] ** 2)
        t["dW1"] = ((t["dz2"] @ at["W2"]) * (t["a1"] > 0)).T @ x
        report = check(t, at)
        assert report.passed, report.verdict
        assert ("b1" in at) == bias
        assert not check(t | {"dW3": t["dW3"] * 1.01}, at).passed

    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_batch_that_lacks_the_highest_class(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 2])
        params = {"W1": rng.normal(size=(4, 3)), "W2": rng.normal(size=(5, 4)), "b2": np.ones(5)}
        case = Case(hidden=(4,), p=0, l2=0)
        for labels in (y, np.eye(5)[y]):
            at = given(case, x=x, y=labels, params=params)
            z2 = np.maximum(x @ params["W1"].T + at["b1"], 0) @ params["W2"].T + 1
            loss = -np.log(softmax(z2)[range(6), y]).mean()
            assert check({"z2": z2, "loss": loss}, at).passed
        with pytest.raises(InputError, match="class 5"):
            given(case, x=x, y=y + 3, params=params)

    def test_contradictions_are_refused(self) -> None:
        for options in (
            {"activation": "relu,tanh", "hidden": (4,)},
            {"activation": "relu,tanhh", "hidden": (4, 4)},
            {"model": "residual", "bias": False},
        ):
            with pytest.raises(ValueError, match=r"activation|tanhh|bias"):
                Case.model_validate(options)

    def test_sparse_tensors_are_taken(self) -> None:
        at = given(moons(0))
        z1 = at["x"] @ at["W1"].T + at["b1"]
        assert check({"z1": torch.tensor(z1).to_sparse()}, at).passed
        assert not check({"z1": torch.tensor(z1 + 1).to_sparse()}, at).passed


class TestGradients:
    """check_gradient of single numbers, and of what squares complex numbers by their modulus."""

    @pytest.mark.parametrize("seed", SEEDS)
    def test_numbers_without_dimensions(self, seed: int) -> None:
        w = float(np.random.default_rng(seed).normal())
        for at in (w, np.array(w), np.float64(w)):
            right = check_gradient(lambda w: w**3, lambda w: 3 * w * w, {"w": at})
            assert (right.passed, right.method) == (True, "exact")
            wrong = check_gradient(lambda w: w**3, lambda w: 3 * w, {"w": at})
            assert wrong.wrong == ("w",)
            scaled = check_gradient(lambda w: 2 * w, lambda u, w: 2 * u, {"w": at}, 0.7)
            assert scaled.passed

    @pytest.mark.parametrize("seed", SEEDS)
    def test_variances_are_derived_exactly(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        x, u = rng.normal(size=(7, 3)), rng.normal(size=3)
        var = {"x": x}, u
        for forward in (lambda x: np.var(x, axis=0), lambda x: x.var(0)):
            c = check_gradient(forward, lambda u, x: 2 * u * (x - x.mean(0)) / 7, *var)
            assert (c.passed, c.method) == (True, "exact")
            c = check_gradient(forward, lambda u, x: 2 * u * (x - x.mean(0)) / 6, *var)
            assert c.wrong == ("x",)
        c = check_gradient(
            lambda x: np.std(x, axis=0, ddof=1),
            lambda u, x: u * (x - x.mean(0)) / 6 / x.std(0, ddof=1),
            *var,
        )
        assert (c.passed, c.method) == (True, "exact")


class TestRemedies:
    """A remedy is the right line of the operation at hand, with its numbers."""

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize(
        ("loss", "line"),
        [
            ("mse_loss", "da = 2 * (a - y)"),
            ("binary_cross_entropy", "da = (a - y) / (a * (1 - a))"),
        ],
    )
    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_the_gradient_of_the_cases_own_loss(
        self, reduction: str, loss: str, line: str, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(9, 3)), rng.integers(0, 2, (9, 2)) * 1.0
        case = Case(
            hidden=(4,),
            activation="tanh",
            output="sigmoid",
            loss=loss,
            reduction=reduction,
            p=0,
            l2=0,
        )
        at = given(case, x=x, y=y)
        a = sigmoid(np.tanh(x @ at["W1"].T + at["b1"]) @ at["W2"].T + at["b2"])
        da = 2 * (a - y) if loss == "mse_loss" else (a - y) / (a * (1 - a))
        size = a.size if reduction == "mean" else 1
        report = check({"a2": a, "da2": -da / size}, at)
        assert report.causes == ("gradient_sign",)
        (found,) = report.judgement.diagnoses["manual"].alternatives[0]
        assert found.remedy[0] == line + (" / a.size" if reduction == "mean" else "")

    @pytest.mark.parametrize("activation", ["sigmoid", "softmax", "leaky_relu", "gelu"])
    def test_the_slope_of_the_layers_own_activation(self, activation: str) -> None:
        at = given(moons(2, activation=activation))
        t = dict(at.recorded.manual)
        report = check({"z1": t["z1"], "da1": t["da1"], "dz1": t["da1"]}, at)
        assert report.causes == ("slope_missing",)
        (found,) = report.judgement.diagnoses["manual"].alternatives[0]
        assert found.remedy[0].startswith(f"dz = {activation}_backward(da, z")

    def test_an_optimizers_own_line(self) -> None:
        for optimizer, line in (("sgd", "W = W - lr * dW"), ("adam", "v_corrected")):
            at = given(moons(1, optimizer=optimizer, lr=0.05))
            t = dict(at.recorded.manual)
            mine = {n: t[n] for n in ("dW1", "vW1", "sW1") if n in t}
            report = check(mine | {"W1": 2 * at["W1"] - t["W1"]}, at)
            assert report.causes == ("ascent",)
            (found,) = report.judgement.diagnoses["manual"].alternatives[0]
            assert line in found.remedy[0]
            assert "lr=0.05" in found.remedy[1]

    @pytest.mark.parametrize("seed", SEEDS)
    def test_what_is_right_is_not_advised_to_be_changed(self, seed: int) -> None:
        """1/m twice in dz: the advice is about dz, not about dW, which is right."""
        at = given(moons(seed))
        t = mlp_step(at, 2)
        m = len(t["a2"])
        dz2 = t["dz2"] / m
        report = check({"a1": t["a1"], "a2": t["a2"], "dz2": dz2, "dW2": dz2.T @ t["a1"]}, at)
        assert report.causes == ("averaged_twice",)
        (found,) = report.judgement.diagnoses["manual"].alternatives[0]
        assert "dW" not in found.remedy[0]
