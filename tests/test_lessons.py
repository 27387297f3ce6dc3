"""Each lesson's conclusion, and that it would say otherwise if the numbers did."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.command import parity
from torch_parity import manual
from torch_parity.compare import data, threads
from torch_parity.compare.case import Case
from torch_parity.compare.causes.plant import execute
from torch_parity.compare.errors import InputError
from torch_parity.lessons import (
    LESSONS,
    adamw,
    backprop,
    backprop_ninja,
    by_operations,
    command,
    convolution_ways,
    dropout,
    forward,
    gradient_check,
    noise,
    noisy_classes,
    optimizers,
    why_nonlinear,
)
from torch_parity.lessons.experiment import train
from torch_parity.lessons.lesson import CHINESE, Claim, Measured, Numbers, agree, claim
from torch_parity.lessons.pictures import curves
from torch_parity.manual import operations
from torch_parity.manual.models.step import Tensors
from torch_parity.manual.operations import find

SEED = 0


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads.limited(1):
        yield


@cache
def measured(name: str) -> Measured:
    """Each lesson is run once, however many tests look at it."""
    return LESSONS[name].measure(SEED)


def concluded(name: str) -> Numbers:
    """The numbers of a lesson all of whose claims hold."""
    n = measured(name).numbers
    for c in LESSONS[name].conclusion(n):
        assert c.holds, f"{name}, seed {SEED}: {c.text}"
    return n


def denied(name: str, **changed: float) -> None:
    """With these numbers in place of the measured ones, some claim no longer holds, and says so."""
    n = {**measured(name).numbers, **changed}
    before = LESSONS[name].conclusion(measured(name).numbers)
    turned = [b for a, b in zip(before, LESSONS[name].conclusion(n), strict=True) if not b.holds]
    assert turned, f"{name}, seed {SEED}: {changed} changed no claim"
    assert not {c.text for c in turned} & {c.text for c in before}


def test_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    n = measured("forward").numbers
    assert max(n["gap/manual"], n["gap/torch"]) < 1e-14
    assert (n["rows of W"], n["columns of W"]) == (4, 3)
    same, _, agreed = LESSONS["forward"].conclusion(n)
    assert same.holds
    assert agreed.holds
    monkeypatch.setattr(manual, "linear", lambda x, W, b: x @ W.T + b.sum())
    same, _, agreed = LESSONS["forward"].conclusion(forward.measure(SEED).numbers)
    assert not same.holds
    assert "OTHER" in same.text
    assert not agreed.holds


@pytest.mark.slow
def test_activations() -> None:
    n = concluded("activations")
    assert n["sigmoid/slope at 10/manual"] == pytest.approx(4.54e-5, rel=1e-3)
    assert n["relu/slope at 0/torch"] == n["relu/slope at 0/manual"] == 0
    assert n["leaky_relu/slope at 0/torch"] == 0.01
    assert abs(n["tanh/mean/torch"]) < 0.05 < 0.45 < n["sigmoid/mean/torch"] < 0.55
    denied("activations", **{"relu/slope at 10/torch": 0.0})
    denied("activations", **{"tanh/mean/manual": 0.5})
    denied("activations", **{"relu/slope at 0/torch": 1.0})
    denied("activations", **{"tanh/formula/manual": 0.1})
    for side in ("manual", "torch"):
        assert n[f"relu/loss/{side}"] < n[f"tanh/loss/{side}"] < 0.5 < n[f"sigmoid/loss/{side}"]
        denied("activations", **{f"tanh/loss/{side}": 0.9})
        denied("activations", **{f"sigmoid/back/{side}": 0.9})
        denied("activations", **{f"relu/loss/{side}": 0.9})


@pytest.mark.slow
def test_why_nonlinear(monkeypatch: pytest.MonkeyPatch) -> None:
    n = concluded("why-nonlinear")
    assert max(n["identity/gap/manual"], n["identity/gap/torch"]) < 1e-13
    assert n["tanh/train/torch"] > 0.95
    denied("why-nonlinear", **{"tanh/train/torch": 0.5})
    wrong = {"identity": (manual.tanh, manual.tanh_backward)}
    monkeypatch.setattr(operations, "find", lambda name: wrong.get(name) or find(name))
    trained = measured("why-nonlinear").runs["identity"]
    assert why_nonlinear.collapse_gap(trained, "manual") > 1e-2, "tanh by the name of identity"


def test_backprop(monkeypatch: pytest.MonkeyPatch) -> None:
    n = concluded("backprop")
    assert max(n["exact/manual"], n["exact/torch"], n["one by one/manual"]) < 1e-13
    assert n["loss after/torch"] < 0.7 * n["loss before/torch"]
    denied("backprop", **{"loss after/torch": n["loss before/torch"]})
    for what in ("exact", "shortcut", "one by one", "update"):
        denied("backprop", **{f"{what}/torch": 0.1})
    slope_of_sigmoid = {"tanh": (manual.tanh, manual.sigmoid_backward)}
    monkeypatch.setattr(operations, "find", lambda name: slope_of_sigmoid.get(name) or find(name))
    step = backprop._step(SEED, slice(4))
    assert not np.allclose(step.manual["dz1"], backprop.exact_derivative(step, "manual", "dz1"))
    assert np.allclose(step.torch["dz1"], backprop.exact_derivative(step, "torch", "dz1"))


@pytest.mark.slow
def test_initialization() -> None:
    n = concluded("initialization")
    for side in ("manual", "torch"):
        assert n[f"zeros, sigmoid/spread/{side}"] < 1e-12 < n[f"He/spread/{side}"]
        assert min(n[f"Xavier/dev/{side}"], n[f"He/dev/{side}"]) > 0.9
        assert n[f"normal 3/dev/{side}"] == n["normal 3/dev/manual"]
        denied("initialization", **{f"zeros/spread/{side}": 0.5})
        denied("initialization", **{f"normal 3/slope/{side}": 0.9})
        denied("initialization", **{f"He/loss/{side}": 0.69})
    moved = measured("initialization").runs["zeros, sigmoid"].params["W1"]
    assert np.abs(moved).max() > 1e-5, "the units are the same, but they do learn"


@pytest.mark.slow
def test_bias_variance() -> None:
    n = concluded("bias-variance")
    assert 0.07 < n["base"] < 0.1
    for side in ("manual", "torch"):
        assert n[f"too small/bias/{side}"] > 0.05 > n[f"too small/variance/{side}"]
        assert n[f"trained longer/variance/{side}"] > 0.05 > n[f"more data/variance/{side}"]
        assert n[f"more data/dev/{side}"] < n[f"regularized/dev/{side}"]
        denied("bias-variance", **{f"trained longer/bias/{side}": 0.9})
        denied("bias-variance", **{f"too small/high variance/{side}": 1.0})
        denied("bias-variance", **{f"bigger/high bias/{side}": 0.0})
        denied("bias-variance", **{f"regularized/variance/{side}": 0.9})
        denied("bias-variance", **{f"regularized/dev/{side}": 0.9})
        denied("bias-variance", **{f"more data/high variance/{side}": 1.0})
        denied("bias-variance", **{f"more data/dev/{side}": 0.9})
        denied("bias-variance", **{f"too small/changes/{side}": 0.9})
        denied("bias-variance", **{f"more data/dev/{side}": 0.05})


def test_the_base_error_is_that_of_no_noise_and_of_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def base(noise: float) -> float:
        monkeypatch.setattr(noisy_classes, "NOISE", noise)
        return noisy_classes.base_error(
            data.load(noisy_classes.training_case(SEED, {"samples": 4000}))
        )

    assert base(0.05) == 0
    assert 0.4 < base(5.0) < 0.5


@pytest.mark.slow
def test_regularization() -> None:
    n = concluded("regularization")
    for side in ("manual", "torch"):
        assert n[f"L2 1/size/{side}"] < 0.8 * n[f"none/size/{side}"]
        assert n[f"L2 1/slope/{side}"] < 0.8 * n[f"none/slope/{side}"]
        denied("regularization", **{f"L2 1/size/{side}": 9.0})
        denied("regularization", **{f"L2 1/slope/{side}": 9.0})
        denied("regularization", **{f"L1 0.3/small/{side}": 0.0})
    denied("regularization", routes=0.1)


@pytest.mark.slow
def test_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    n = concluded("dropout")
    for side in ("manual", "torch"):
        assert all(abs(n[f"mean/{k}/{side}"] - 1) < 0.05 for k in (0.5, 0.8, 0.2))
        assert n[f"p 0.5/gap/{side}"] < 0.5 * n[f"p 0/gap/{side}"]
        assert n[f"keep_prob/dW1/{side}"] > 0.1
        denied("dropout", **{f"mean/0.2/{side}": 0.2})
        denied("dropout", **{f"dropped backward/{side}": 0.1})
        denied("dropout", **{f"p 0.5/gap/{side}": 9.0})
        denied("dropout", **{f"fresh_mask_backward/named/{side}": 0.0})
    denied("dropout", **{"evaluation/torch": 0.1})
    unscaled = lambda rng, shape, p: (rng.random(shape) >= p).astype(float)  # noqa: E731
    monkeypatch.setattr(manual, "dropout_mask", unscaled)
    mean, error = dropout.mean_kept("manual", 0.5, SEED)
    denied("dropout", **{"mean/0.5/manual": mean, "error/0.5/manual": error})


def test_gradient_check(monkeypatch: pytest.MonkeyPatch) -> None:
    n = concluded("gradient-check")
    assert n["passes"] >= 2 * n["parameters"]
    for side in ("manual", "torch"):
        assert n[f"off by 0/{side}"] < 1e-9
        assert n[f"off by 0/along/{side}"] < 1e-13 < 1e-3 < n[f"bug/along/{side}"]
        denied("gradient-check", **{f"off by 0/{side}": 1e-6})
        denied("gradient-check", **{f"bug/{side}": 1e-9})
        denied("gradient-check", **{f"bug/along/{side}": 1e-15})
    denied("gradient-check", gradcheck=0.0)
    monkeypatch.setattr(gradient_check, "planted", lambda step, side: step.trace(side))
    _, bug, _, around = gradient_check.conclude(gradient_check.measure(SEED).numbers)
    assert "NOT found" in bug.text
    assert not around.holds


@pytest.mark.slow
def test_planar() -> None:
    n = concluded("planar")
    assert n["logistic regression/dev/torch"] < 0.65 < 0.85 < n["4 units/dev/torch"]
    assert n["20 units/same predictions"] == 1
    denied("planar", **{f"{k} unit{'s' * (k > 1)}/dev/manual": 0.5 for k in (1, 2, 3, 4, 5)})
    denied("planar", **{f"{k} units/dev/manual": 0.7 for k in (4, 5)})
    denied("planar", **{"5 units/same predictions": 0.99})
    steps = {"steps/passed": n["steps"] - 1}
    denied("planar", **steps)


def test_convolution() -> None:
    n = concluded("convolution")
    assert (n["weights"], n["different"], n["entries"]) == (54, 54, 3456)
    for side in ("manual", "torch"):
        assert (n[f"edge/{side}"], n[f"flat/{side}"]) == (30, 0)
        denied("convolution", **{f"edge/{side}": -30.0})
        for what in ("exact", "loops", "matrix", "transposed", "shift"):
            denied("convolution", **{f"{what}/{side}": 0.1})
        denied("convolution", **{f"sizes/{side}": 3.0})
        denied("convolution", **{f"kernel_flipped/named/{side}": 0.0})
    x, weight = np.arange(24.0).reshape(1, 2, 3, 4), np.arange(16.0).reshape(2, 2, 2, 2)
    looped = convolution_ways.conv_by_loops(x, weight, np.ones(2))
    assert looped[0, 1, 1, 2] == (x[0, :, 1:3, 2:4] * weight[1]).sum() + 1


def test_batch_norm() -> None:
    n = concluded("batch-norm")
    for side in ("manual", "torch"):
        assert n[f"db/{side}"] < 1e-14 < 1e-3 < n[f"dz/{side}"]
        for what in ("mean", "exact", "sum", "evaluation", "db"):
            denied("batch-norm", **{f"{what}/{side}": 0.1})
        denied("batch-norm", **{f"training/{side}": 0.0})
        denied("batch-norm", **{f"running mean/{side}": 3.0})
        denied("batch-norm", **{f"running_variance_biased/named/{side}": 0.0})
    denied("batch-norm", **{"scaled/gradient": 100.0})
    denied("batch-norm", **{"scaled/out": 0.1})


@pytest.mark.slow
def test_residual() -> None:
    n = concluded("residual")
    for side in ("manual", "torch"):
        firsts = [n[f"plain/{b}/first/{side}"] for b in (1, 2, 4, 8)]
        assert firsts == sorted(firsts, reverse=True)
        denied("residual", **{f"plain/8/first/{side}": 0.1})
        denied("residual", **{f"residual/8/first/{side}": 1e-5})
        denied("residual", **{f"shares/{side}": 0.1})
        denied("residual", **{f"residual/loss/train/{side}": 0.69})
        denied("residual", **{f"shortcut_scaled/named/{side}": 0.0})


def test_recurrent() -> None:
    n = concluded("recurrent")
    for side in ("manual", "torch"):
        assert n[f"length/0.5/{side}"] == pytest.approx(0.5**30, rel=1e-6)
        assert n[f"length/keeps/{side}"] == pytest.approx((1 / (1 + np.exp(-4))) ** 30, rel=1e-6)
        denied("recurrent", **{f"exact/{side}": 0.1})
        denied("recurrent", **{f"length/1.5/{side}": 1.0})
        denied("recurrent", **{f"length/forgets/{side}": 0.5})
        denied("recurrent", **{f"clip/after/{side}": 2.0})
        denied("recurrent", **{f"clip/turned/{side}": 0.1})
        denied("recurrent", **{f"state_not_carried/named/{side}": 0.0})


def test_attention() -> None:
    n = concluded("attention")
    for side in ("manual", "torch"):
        for what in ("exact", "later", "order", "dbk"):
            denied("attention", **{f"{what}/{side}": 0.1})
        denied("attention", **{f"plain/512/{side}": 0.2})
        denied("attention", **{f"plain gradient/512/{side}": 0.05})
        denied("attention", **{f"causal_mask_missing/named/{side}": 0.0})
    for what in ("plain", "scaled", "plain gradient", "scaled gradient"):
        assert n[f"{what}/64/manual"] == pytest.approx(n[f"{what}/64/torch"], rel=1e-12)


@pytest.mark.slow
def test_transformer() -> None:
    n = concluded("transformer")
    assert n["least"] == pytest.approx(np.log(2500) / 8.578)  # characters of a line, on average
    for side in ("manual", "torch"):
        denied("transformer", **{f"exact/{side}": 0.1})
        denied("transformer", **{f"order/without/{side}": 0.1})
        denied("transformer", **{f"order/with/{side}": 0.0})
        denied("transformer", **{f"next character/{side}": 2.6})
        denied("transformer", **{f"same character/{side}": 0.95})
        denied("transformer", **{f"causal_mask_missing/named/{side}": 0.0})
        for first in ("h0", "n0", "h1"):
            denied("transformer", **{f"wired/{first}/{side}": 0.0})
    denied("transformer", **{"same text": 0.0})


def test_optimizers() -> None:
    n = concluded("optimizers")
    denied("optimizers", paths=0.1)
    for side in ("manual", "torch"):
        assert n[f"sgd/turns/{side}"] == 60
        denied("optimizers", **{f"momentum/valley/{side}": 1.0})
        denied("optimizers", **{f"nesterov/valley/{side}": 1.0})
        denied("optimizers", **{f"course/{side}": 0.1})
        denied("optimizers", **{f"first step/adam/{side}": 2.16})
        denied("optimizers", **{f"first step/rmsprop/{side}": 2.16})
        denied("optimizers", **{f"adam_betas_swapped/named/{side}": 0.0})
        denied("optimizers", **{f"nesterov_missing/named/{side}": 0.0})
    falling = optimizers.path("manual", "sgd", np.array([1.0]), np.array([1.0]), 2)
    np.testing.assert_allclose(falling[:, 0], [1, 0.965, 0.965**2], rtol=1e-15)


def test_adamw() -> None:
    n = concluded("adamw")
    for side in ("manual", "torch"):
        assert n[f"adam/0.01/{side}"] < 0.01 < 0.99 < n[f"adam/100/{side}"]
        denied("adamw", **{f"adam/100/{side}": 0.741})
        denied("adamw", **{f"adamw/100/{side}": 0.999})
        denied("adamw", **{f"sgd/{side}": 0.1})
        denied("adamw", **{f"adamw_biases_decayed/named/{side}": 0.0})
    denied("adamw", **{"same names": n["decay"] - 1})
    denied("adamw", spared=n["spared"] - 1)
    still = adamw.shrunk("torch", "adamw", np.zeros((2, 3)))
    np.testing.assert_allclose(still, [1, 0.999, 0.999**2], rtol=1e-15)


def test_schedules() -> None:
    concluded("schedules")
    for side in ("manual", "torch"):
        denied("schedules", **{f"noise/16/{side}": 1.0})
        denied("schedules", **{f"batch 320/loss/{side}": 0.1})
        denied("schedules", **{f"constant/rest/{side}": 0.01})
        denied("schedules", **{f"cosine/end/{side}": 0.1})
        denied("schedules", **{f"step/rates/{side}": 0.1})
        denied("schedules", **{f"adam/later/{side}": 1.0})
        denied("schedules", **{f"warmup_from_zero/named/{side}": 0.0})
        rates, squares = noise.valley(side, "step", np.zeros((42, 1)))
        np.testing.assert_allclose(rates[[0, 39, 40]], [0.2, 0.2, 0.04], rtol=1e-15)
        np.testing.assert_allclose(squares[1], (2 * 0.8) ** 2, rtol=1e-15)


def test_backprop_ninja(monkeypatch: pytest.MonkeyPatch) -> None:
    n = concluded("backprop-ninja")
    for side in ("manual", "torch"):
        for what in ("exact", "short dz", "short dx", "dtop"):
            assert n[f"{what}/{side}"] < 1e-14
            denied("backprop-ninja", **{f"{what}/{side}": 0.1})
        denied("backprop-ninja", **{f"gradient_share_twice/named/{side}": 0.0})
    right = backprop_ninja.backward
    forgotten = lambda at, t: right(at, t) | {"dtop": right(at, t)["dtop"] * 0 + 1}  # noqa: E731
    monkeypatch.setattr(backprop_ninja, "backward", forgotten)
    wrong = backprop_ninja.measure(SEED).numbers
    assert wrong["tensors/matching"] < wrong["tensors"] == n["tensors"]


def test_the_law_of_a_lesson_is_what_autograd_does() -> None:
    """With a tensor that is read three times, twice by one operation, and a constant."""

    def by_hand(at: Mapping[str, np.ndarray]) -> Tensors:
        t = {"square": manual.mul(at["x"], at["x"])}
        t["sum"] = manual.add(t["square"], at["x"])
        t["out"] = manual.mul(t["sum"], at["c"])
        return t

    def by_torch(at: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        t = {"square": at["x"] * at["x"]}
        t["sum"] = t["square"] + at["x"]
        t["out"] = t["sum"] * at["c"]
        return t

    rng = np.random.default_rng(SEED)
    given = {"x": rng.normal(size=(3, 2)), "c": rng.normal(size=(2,))}
    dout = rng.normal(size=(3, 2))
    nodes = by_operations.law(by_hand, given, constants=("c",))
    replayed = execute(nodes, {**given, "dout": dout}, "manual")
    autograd = by_operations.in_torch(by_torch, given, dout, constants=("c",))
    assert set(autograd) == {n for n in replayed if "#" not in n}
    for name, tensor in autograd.items():
        np.testing.assert_allclose(replayed[name], tensor, rtol=1e-13, err_msg=name)
    exact = by_operations.exact_gradient(by_hand, given, dout, "x")
    np.testing.assert_allclose(exact, dout * given["c"] * (2 * given["x"] + 1), rtol=1e-13)


def test_a_claim_says_what_the_numbers_say() -> None:
    texts = ("so", "not so", "是", "否")
    assert claim(True, *texts) == Claim(True, "so", "是")
    assert claim(False, *texts) == Claim(False, "not so", "否")


LONG = ("bias-variance", "regularization", "planar")  # many trainings


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in LESSONS]
)
def test_tables_and_conclusions_are_there_in_chinese(name: str) -> None:
    """Not the names of tensors and options, which are the same in both languages."""
    chinese = re.compile(r"[\u4e00-\u9fff]")
    assert chinese.search(LESSONS[name].zh)
    for told in LESSONS[name].conclusion(measured(name).numbers):
        assert chinese.search(told.zh), told.text
        in_chinese, in_english = (re.findall(r"\d+\.\d+", text) for text in (told.zh, told.text))
        assert sorted(in_chinese) == sorted(in_english)
    for table in measured(name).tables:
        words = CHINESE | table.zh
        assert chinese.search(table.chinese().title), table.title
        for column in table.columns:
            for part in column.split(", "):
                same = re.fullmatch(r"[^a-z]*|d|d?[hkz]|keep_prob|\|W\| < 0.01", part)
                assert part in words or same, f"{table.title}: {part}"


@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"tensors": 0, "tensors/matching": 0, "tensors/difference": 0.0},
        {"tensors": 3, "tensors/matching": 2, "tensors/difference": 0.1},
        {"trainings": 1, "steps": 9, "steps/passed": 8, "drift": 0.0, "envelope": 0.0},
        {"trainings": 0, "steps": 0, "steps/passed": 0, "drift": 0.0, "envelope": 0.0},
    ],
)
def test_agreement_is_never_claimed_for_nothing_or_for_less_than_all(
    numbers: dict[str, float],
) -> None:
    assert not agree(numbers).holds
    assert "NOT" in agree(numbers).text


def test_the_command_tells_draws_and_keeps(tmp_path: Path) -> None:
    result = parity("lesson", "forward", "--seed", "3", "--runs", str(tmp_path))
    assert result.status == 0, result.out
    assert "Conclusion" in result.out
    assert "计算神经网络的输出" in result.out
    files = {p.name for p in (tmp_path / "forward").iterdir()}
    assert {"lesson.json", "times.png"} <= files
    assert any(name.startswith("events") for name in files)


def test_sides_that_disagree_are_told_and_are_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manual, "sigmoid", manual.tanh)
    result = parity("lesson", "forward", "--runs", str(tmp_path))
    assert result.status == 1
    assert "do NOT agree" in " ".join(result.out.split())


def test_an_unknown_lesson_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no lesson 'forwrd': did you mean 'forward'"):
        command.run_lesson("forwrd", SEED, tmp_path, quiet=True)
    assert not list(tmp_path.iterdir())


def test_the_list_has_every_lesson_in_one_line() -> None:
    result = parity("lesson")
    assert result.status == 0
    for lesson in LESSONS.values():
        assert lesson.name in result.out
        assert len(lesson.line) <= 80
        assert max(map(len, lesson.text.splitlines())) <= 80, lesson.name


def test_curves_of_many_trainings_are_not_one_strip() -> None:
    trained = train(Case(data="moons", samples=20, hidden=(2,), steps=2))
    figure = curves({f"run {n}": trained for n in range(8)}, "loss/train")
    figure.draw_without_rendering()
    assert [ax.get_title() for ax in figure.axes] == [f"run {n}" for n in range(8)]
    assert len({round(ax.get_position().x0, 2) for ax in figure.axes}) == 3
