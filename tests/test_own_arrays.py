"""Code of one's own against torch: layouts, names, kinds of arrays, and what cannot be judged."""

import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.golden_text import Golden
from torch_parity import COURSE, Case, Layout, assert_parity, check, given
from torch_parity.compare.case import load
from torch_parity.compare.errors import InputError, ParityError
from torch_parity.compare.sources.arrays.layout import recognise
from torch_parity.compare.sources.arrays.start import Given

EXAMPLES = Path(__file__).parent.parent / "examples"
CASE = Case(data="moons", hidden=(6,), activation="tanh", p=0.3, l2=0.7, optimizer="adam")


def example(path: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(path).stem, EXAMPLES / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def start() -> Given:
    return given(CASE)


def right(start: Given) -> dict[str, np.ndarray]:
    return {name: a.copy() for name, a in start.recorded.manual.items()}


def written(layout: Layout, arrays: dict[str, np.ndarray], m: int) -> dict[str, np.ndarray]:
    """Our arrays as somebody with this layout writes them."""
    scale = {n: m if layout.mean == "dW" and n[:2] in ("dz", "da", "dh") else 1 for n in arrays}
    return {n: layout.to_theirs(n, a) * scale[n] for n, a in arrays.items()}


LAYOUTS = [
    Layout.model_validate({"samples": s, "weights": w, "biases": b, "mean": mean})
    for s in ("rows", "columns")
    for w in ("out_in", "in_out")
    for b in ("vector", "row", "column")
    for mean in ("dz", "dW")
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.every(2)
def test_every_layout_is_recognised_and_is_no_mistake(layout: Layout, start: Given) -> None:
    mine = written(layout, right(start), start.m)
    assert recognise(mine, start.recorded.torch, start.m, Layout()) == layout
    report = check(mine, start)
    assert report.passed, report.short
    changed = sum(getattr(layout, f) != getattr(Layout(), f) for f in Layout.model_fields)
    assert len(report.conventions) == changed
    declared = check(mine, start, layout=layout)
    assert declared.passed
    assert declared.conventions == ()


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[-1]], ids=str)
def test_what_is_given_comes_in_the_layout_asked_for(layout: Layout) -> None:
    at, plain = given(CASE, layout=layout), given(CASE)
    for name, ours in plain.items():
        np.testing.assert_array_equal(layout.to_ours(name, at[name], 1), ours, err_msg=name)


def test_a_square_array_follows_the_others_of_its_kind() -> None:
    square = Case(data="moons", hidden=(2, 2), activation="tanh", batch=2, p=0, bias_scale=0.3)
    at = given(square)
    for layout in LAYOUTS:
        mine = written(layout, right(at), at.m)
        del mine["z3"], mine["a3"], mine["da3"]  # one output: only its shape would tell
        assert check(mine, at).passed, layout


def test_a_wrong_layout_that_was_declared_is_a_mistake(start: Given) -> None:
    mine = written(COURSE, right(start), start.m)
    assert not check(mine, start, layout=Layout()).passed


def test_a_gradient_that_is_not_averaged_is_no_convention(start: Given) -> None:
    mine = {n: a * start.m if n[:2] in ("dz", "dW", "db") else a for n, a in right(start).items()}
    report = check({n: mine[n] for n in ("dz2", "dW2_loss", "db2")}, start)
    assert not report.passed
    assert report.conventions == ()


def summed(start: Given, *names: str) -> dict[str, np.ndarray]:
    """These tensors, with dz, da and dh m times torch's, as dZ = A - Y is."""
    made = right(start)
    return {n: made[n] * (start.m if n[:2] in ("dz", "da", "dh") else 1) for n in names}


def test_dz_alone_does_not_show_where_its_mean_is(start: Given) -> None:
    """The 1/m may be in dW, as the course has it, or forgotten: neither a FAIL nor a PASS."""
    for names in (("dz2",), ("z2", "dz2"), ("dz2", "dh1", "dz1")):
        report = check(summed(start, *names), start)
        assert report.outcome == "UNJUDGED", str(report)
        doubtful = [d.name for d in report.judgement.unjudged]
        assert doubtful == [n for n in names if n[0] == "d"]
        assert "Layout(mean='dW')" in report.verdict
    assert check(summed(start, "dz2"), start, layout=Layout(mean="dW")).outcome == "PASS"
    assert check(summed(start, "dz2"), start, layout=Layout()).outcome == "FAIL"


@pytest.mark.parametrize("shown", ["dW1_loss", "db1", "W1", "b2", "vW1"])
def test_what_is_computed_from_dz_shows_where_its_mean_is(shown: str, start: Given) -> None:
    mine = summed(start, "z2", "dz2", shown)
    report = check(mine, start)
    assert report.outcome == "PASS", str(report)
    assert len(report.conventions) == 1


def test_a_wrong_dz_is_no_convention(start: Given) -> None:
    mine = summed(start, "dz2", "db1")
    assert check(mine | {"dz2": mine["dz2"] * 1.001}, start).outcome == "FAIL"
    assert check(mine | {"db1": mine["db1"] * start.m}, start).outcome == "FAIL"


def test_the_courses_names_and_nested_dicts(start: Given) -> None:
    t = right(start)
    mine = {
        "cache": {"Z1": t["z1"], "A1": t["h1"], "Z2": t["z2"], "AL": t["a2"]},
        "cost": float(t["cost"]),
        "grads": {"dZ2": t["dz2"], "dA1": t["da1"], "dW1": t["dW1"], "db1": t["db1"]},
        "v": {"dW1": t["vW1"]},
        "s": {"dW1": t["sW1"]},
    }
    report = check(mine, start)
    assert report.passed, report.short
    names = {d.name for d in report.judgement.differences}
    assert names == {"z1", "h1", "z2", "a2", "cost", "dz2", "da1", "dW1", "db1", "vW1", "sW1"}


def test_one_output_unit_may_leave_its_dimension_out(start: Given) -> None:
    t = right(start)
    mine = {"z2": t["z2"][:, 0], "a2": t["a2"][:, 0], "loss": t["loss"].reshape(1, 1)}
    report = check(mine, start)
    assert report.passed
    assert report.conventions == ("z2, a2: (m,) is taken as (m, 1): z2 = yours[:, None]",)


@pytest.mark.parametrize(
    "change",
    {
        "big-endian": lambda a: a.astype(">f8"),
        "read-only": lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
        "non-contiguous": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
        "list": lambda a: a.tolist(),
        "tensor": torch.tensor,
        "requires grad": lambda a: torch.tensor(a, requires_grad=True),
    }.items(),
    ids=lambda item: item[0],
)
def test_every_kind_of_array(change: Any, start: Given) -> None:
    mine = {n: change[1](a) for n, a in right(start).items() if a.dtype.kind == "f"}
    report = check(mine, start)
    assert report.passed, report.short


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_courses_formulas_stay_in_the_precision_of_the_case(dtype: Any) -> None:
    """l2 / m_train is a number of the case's type, as the arrays are."""
    s = given(
        Case(data="moons", hidden=(4,), activation="tanh", optimizer="sgd", lr=0.1, l2=0.7, p=0,
             dtype=dtype),
        layout=COURSE,
    )  # fmt: skip
    m, l2 = s["x"].shape[1], 0.7 / s["m_train"]
    A1 = np.tanh(s["W1"] @ s["x"] + s["b1"])
    dZ2 = 1 / (1 + np.exp(-(s["W2"] @ A1 + s["b2"]))) - s["y"]
    dZ1 = s["W2"].T @ dZ2 * (1 - A1**2)
    mine = {
        "dW2": dZ2 @ A1.T / m + l2 * s["W2"],
        "dW1": dZ1 @ s["x"].T / m + l2 * s["W1"],
    }
    assert {a.dtype for a in mine.values()} == {np.dtype(dtype)}
    assert check(mine, s).passed
    assert int(s["m_train"]) == 320
    assert s["m_train"] == 320
    wide = {n: a + np.float64(0) for n, a in mine.items()}
    assert check(wide, s).passed is (dtype == "float64")


@pytest.mark.parametrize("dtype", ["float32", "float16", torch.bfloat16])
def test_lower_precision_is_no_pass(dtype: Any, start: Given) -> None:
    low = isinstance(dtype, torch.dtype)
    mine = {
        n: torch.tensor(a).to(dtype) if low else a.astype(dtype)
        for n, a in right(start).items()
        if a.dtype.kind == "f"
    }
    assert not check(mine, start).passed


@pytest.mark.parametrize(
    "mine",
    [
        {},
        [1, 2],
        {"zz": np.ones(2)},
        {"z1": np.array(["a"])},
        {"z1": np.array([1j])},
        {"z1": np.array([None])},
        {"z1": np.array([True])},
        {"z1": [[1.0], [1.0, 2.0]]},
        {"a": {"z1": np.ones(2)}, "b": {"z1": np.zeros(2)}},
    ],
)
def test_what_cannot_be_judged_is_said_in_a_line(mine: Any, start: Given, golden: Golden) -> None:
    with pytest.raises(InputError) as caught:
        check(mine, start)
    assert "\n" not in str(caught.value)
    golden.section("own-arrays", str(caught.value))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_never_pass(bad: float, start: Given) -> None:
    assert not check({"z1": np.full_like(right(start)["z1"], bad)}, start).passed


def test_no_entries_and_unknown_names_never_pass(start: Given) -> None:
    t = right(start)
    assert not check({"z1": np.zeros((0, 6))}, start).passed
    report = check({"z1": t["z1"], "dw1": t["dW1"]}, start)
    assert not report.passed
    assert ["did you mean 'dW1'" in line for line in report.unknown] == [True]
    assert report.unknown[0] in report.verdict
    assert report.unknown[0] in str(report)
    wrong = check({"z1": t["z1"], "dw1": t["dW1"], "dW2": 2 * t["dW2"]}, start)
    assert wrong.judgement.root is not None
    assert wrong.unknown[0] in wrong.verdict, "beside another mistake, too"
    assert check({"z1": t["z1"], "dw1": t["dW1"]}, start, ignore=["dw*"]).passed
    with pytest.raises(InputError, match=r"dw\*"):
        check({"z1": t["z1"]}, start, ignore=["dw*"])


def test_data_parameters_and_masks_of_ones_own() -> None:
    rng = np.random.default_rng(77)
    case = Case(hidden=(3,), activation="relu", loss="cross_entropy", optimizer="sgd")
    x, y = rng.normal(size=(5, 2)), np.array([0, 2, 1, 1, 0])
    W1, mask1 = rng.normal(size=(3, 2)), (rng.random((5, 3)) < 0.8) / 0.8
    one_hot = np.eye(3)[y]
    for labels in (y, one_hot):
        at = given(case, x=x, y=labels, params={"W1": W1}, masks={"mask1": mask1})
        np.testing.assert_array_equal(at["W1"], W1)
        h1 = np.maximum(x @ W1.T + at["b1"], 0) * mask1
        z2 = h1 @ at["W2"].T + at["b2"]
        p = np.exp(z2) / np.exp(z2).sum(axis=1, keepdims=True)
        dz2 = (p - one_hot) / 5
        dz1 = dz2 @ at["W2"] * mask1 * (h1 > 0)
        mine = {"h1": h1, "loss": -np.log(p[range(5), y]).mean(), "dW1": dz1.T @ x}
        report = check(mine | {"dW2": dz2.T @ h1 + case.l2 / 5 * at["W2"]}, at)
        assert not report.passed, "dW1 lacks its penalty"
        names = report.judgement.diagnoses["manual"].names
        assert frozenset({"penalty_in_cost_only"}) in names
        mine["dW1"] += case.l2 / 5 * W1
        report = check(mine, at)
        assert report.passed
        assert [c.startswith("y is one-hot") for c in report.conventions] == [True] * (
            labels is one_hot
        )


@pytest.mark.parametrize(
    "arguments",
    [
        {"x": np.ones((3, 2))},
        {"x": np.ones((3, 2)), "y": np.zeros(4, int)},
        {"x": np.ones(3), "y": np.zeros(3, int)},
        {"x": np.full((3, 2), np.nan), "y": np.zeros(3, int)},
        {"x": np.ones((3, 2)), "y": np.full((3, 2), 0.5)},
        {"x": np.ones((3, 2)), "y": np.array([0.5, 1, 0])},
        {"params": {"W1": np.ones((2, 2))}},
        {"params": {"w1": np.ones((2, 2))}},
        {"params": {"W1": np.where(np.eye(6, 2)[::-1] > 0, np.nan, 1)}},
        {"params": {"b1": np.array([0, 1, 2, 3, np.inf, 0])}},
        {"params": {"W1": np.full((6, 2), 1j)}},
        {"step": 0},
        {"masks": {"mask2": np.ones((2, 2))}},
        {"masks": {"mask1": np.ones((64, 6), bool)}},
    ],
)
def test_what_cannot_be_begun_from_is_said_in_a_line(arguments: Any, golden: Golden) -> None:
    with pytest.raises(InputError) as caught:
        given(CASE, **arguments)
    golden.section("own-arrays", str(caught.value))


def test_a_parameter_too_large_for_the_precision_is_named() -> None:
    case, W1 = CASE.model_copy(update={"dtype": "float32"}), np.ones((2, 6))
    W1[1, 4] = 1e39
    said = r"params: W1 holds 1e\+39 at \[1, 4\]; expected finite numbers of float32"
    with pytest.raises(InputError, match=said):
        given(case, params={"W1": W1}, layout=Layout(weights="in_out"))


def test_assert_parity_says_what_where_why_and_the_remedy(start: Given) -> None:
    t = right(start)
    assert assert_parity(t, start).passed
    t["da1"] = t["dh1"]
    with pytest.raises(ParityError) as caught:
        assert_parity(t, start)
    said = str(caught.value)
    assert "First wrong: mine's dropout_backward -> da1" in said
    assert "mine is wrong, torch is right" in said
    assert "mask_not_applied_backward" in said
    assert "Right in NumPy: da = dh * mask" in said


def test_the_course_notebook_passes() -> None:
    notebook = example("course_notebook/notebook.py")
    mine = notebook.one_step(notebook.start, lambd=0.7, m_train=320, learning_rate=1.2)
    assert check(mine, notebook.start).passed
    undeclared = check(mine, given(notebook.case))
    assert undeclared.passed
    assert len(undeclared.conventions) == 3


def test_all_three_mistakes_of_the_student_are_named() -> None:
    student = example("student/student.py")
    report = check(student.step(student.start), student.start)
    assert not report.passed
    assert set(report.causes) == {
        "dropout_unscaled_forward",
        "lambda_not_divided_by_m",
        "slope_of_another_activation",
    }
    assert sys.modules.get("student") is None


@pytest.mark.parametrize(("p", "named"), [(0.0, "identity"), (0.3, "dropout")])
def test_dropout_is_spoken_of_only_where_there_is_any(p: float, named: str) -> None:
    at = given(Case(data="moons", hidden=(4,), activation="tanh", p=p))
    h1 = np.tanh(at["x"] @ at["W1"].T + at["b1"]) * at["mask1"]
    said = check({"h1": h1 * 1.001}, at).verdict
    assert f"mine's {named} -> h1" in said
    assert ("dropout" in said) == bool(p)


@pytest.mark.parametrize(
    "chosen",
    [
        {"dat": "moons"},
        {"activation": "Relu"},
        {"hidden": 4},
        {"p": 3, "l2": -1},
        {"accumulate": 99},
    ],
    ids=lambda chosen: next(iter(chosen)),
)
def test_a_case_is_refused_as_on_the_command_line(chosen: dict[str, Any]) -> None:
    with pytest.raises(InputError) as by_command:
        load(**chosen)
    with pytest.raises(InputError) as caught:
        Case(**chosen)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == str(by_command.value)
    assert "pydantic" not in repr(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_what_is_no_case_is_refused() -> None:
    wrong: Any
    for wrong in ("moons", None):
        with pytest.raises(InputError, match=repr(wrong)):
            given(wrong)
        with pytest.raises(InputError, match=repr(wrong)):
            check({"z1": np.ones((2, 2))}, wrong)
