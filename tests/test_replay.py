"""Replay: the first operation that its own inputs do not explain, on the side that is wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.drawn import case_and_data, steps
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precise import precise_product
from torch_parity.compare.bounds.sum_drift import drift_of
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.judge.replay import WORST, replay, replay_stretch
from torch_parity.manual.ops.linear import linear_backward

FIXED = {"hidden": (6, 5), "loss": "cross_entropy", "output": "identity", "p": 0.3, "l2": 0.7}

# What a hand might get wrong: the tensor it makes wrong first, and the wrong value from the trace.
MISTAKES: dict[str, Callable[[dict[str, np.ndarray], dict[str, np.ndarray]], np.ndarray]] = {
    "z1": lambda t, s: t["h0"] @ s["W1"].T,  # bias forgotten
    "h1": lambda t, s: t["a1"] * (s["mask1"] > 0),  # not scaled by 1/(1-p)
    "loss": lambda t, s: t["loss"] * len(s["y"]),  # summed, not averaged
    "penalty": lambda t, s: t["penalty"] * 2,  # lambda/m, not lambda/2m
    "da3": lambda t, s: t["da3"] * len(s["y"]),  # 1/m missing
    "db3": lambda t, s: t["dz3"].sum(1)[:1].repeat(t["db3"].size),  # wrong axis
    "dW2_loss": lambda t, s: t["dz2"].T @ t["a1"],  # before dropout instead of after
    "da1": lambda t, s: t["dh1"],  # mask not applied in backward
    "dz2": lambda t, s: t["da2"],  # activation's slope forgotten
    "dW1": lambda t, s: t["dW1_loss"],  # penalty missing in the gradient
    "vW2": lambda t, s: 0.9 * s["vW2"] + 0.1 * t["dW2"],  # average instead of sum
    "b3": lambda t, s: s["b3"] - 0.05 * t["db3"],  # momentum forgotten
}


def recorded(dtype: str, seed: int = 31) -> tuple[Any, ...]:
    torch.manual_seed(2)
    case, data = case_and_data(
        seed, dtype=dtype, activation="tanh", l1=0.2, optimizer="momentum", **FIXED
    )
    last = steps(case, data)[-1]
    return last.pair, last.nodes, last.start, last.manual, last.torch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("side", ["manual", "torch"])
@pytest.mark.parametrize("name", MISTAKES)
def test_the_first_wrong_operation_and_its_side_are_named(name: str, side: str, dtype: str) -> None:
    """Only the tensor itself is replaced, so the tensors computed from the right one are wrong as
    well: the root must still come first."""
    _, nodes, start, by_hand, by_torch = recorded(dtype)
    traces = {"manual": by_hand, "torch": by_torch}
    wrong = MISTAKES[name](traces[side], start)
    assert wrong.shape == traces[side][name].shape
    traces[side] = traces[side] | {name: wrong.astype(dtype)}
    verdict = judge(nodes, start, traces["manual"], traces["torch"])
    assert not verdict.passed
    assert (verdict.root.side, verdict.root.found.name) == (side, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_entry_off_by_1e_4_is_seen_in_every_tensor(dtype: str) -> None:
    _, nodes, start, by_hand, _ = recorded(dtype)
    for name, tensor in by_hand.items():
        index = np.unravel_index(np.abs(tensor).argmax(), tensor.shape)
        wrong = tensor.copy()
        wrong[index] *= 1 + 1e-4
        first = next(r for r in replay(nodes, start, by_hand | {name: wrong}) if not r.right)
        assert (first.name, first.index) == (name, index), f"{dtype}, seed 31"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_alike_terms_of_a_sum_may_round_alike(dtype: str) -> None:
    """A batch of similar samples: every step of the sum rounds in the same direction."""
    m = 10_000
    dz = np.full((m, 2), 1 / 3, dtype) * np.array([1, -0.7], dtype)
    db = np.cumsum(dz, axis=0)[-1]
    node = next(n for n in recorded(dtype)[1] if "db2" in n.outputs)
    given = dict(
        zip(node.inputs, (dz, np.ones((m, 3), dtype), np.ones((2, 3), dtype)), strict=True)
    )
    trace = dict(zip(node.outputs, linear_backward(*given.values()), strict=True)) | {"db2": db}
    assert all(r.right for r in replay_stretch([node], given, trace))
    probable = Bounded.exact(dz).sum(axis=0)
    assert (np.abs(db - probable.value) > probable.error).any(), "nothing that needs a closer look"
    off = db + (4 * m * np.finfo(dtype).eps * np.abs(db)).astype(dtype)
    assert not all(r.right for r in replay_stretch([node], given, trace | {"db2": off}))


def alike(dtype: str, m: int) -> tuple[Any, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """dW2 of a batch of similar samples, added one after another: nearly all of its 42 entries are
    over the probable bound."""
    rng = np.random.default_rng(43)
    dz = np.tile(rng.normal(size=6).astype(dtype), (m, 1))
    x = np.tile(rng.normal(size=7).astype(dtype), (m, 1))
    node = next(n for n in recorded(dtype)[1] if "dW2_loss" in n.outputs)
    given = dict(zip(node.inputs, (dz, x, np.ones((6, 7), dtype)), strict=True))
    walked = np.cumsum(dz[:, :, None] * x[:, None, :], axis=0, dtype=dtype)[-1]
    trace = dict(zip(node.outputs, linear_backward(*given.values()), strict=True))
    return node, given, trace | {"dW2_loss": walked, "db2": np.cumsum(dz, axis=0)[-1]}


@pytest.mark.parametrize("worst", [1, 5, 10**9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_doubtful_entries_are_judged_as_all_at_once(
    monkeypatch: pytest.MonkeyPatch, dtype: str, worst: int
) -> None:
    """Checking the worst entries first changes neither a right verdict nor a wrong one."""
    monkeypatch.setattr("torch_parity.compare.judge.replay.WORST", worst)
    node, given, trace = alike(dtype, 4000)
    first = Bounded.exact(given[node.inputs[0]]).T @ Bounded.exact(given[node.inputs[1]])
    assert (np.abs(trace["dW2_loss"] - first.value) > first.error).sum() > 5, "seed 43"
    assert [r for r in replay_stretch([node], given, trace) if not r.right] == [], "seed 43"
    for index in [(0, 0), (2, 5), (5, 6)]:
        wrong = trace["dW2_loss"].copy()
        wrong[index] *= 1 + 8 * 4000 * np.finfo(dtype).eps
        found = replay_stretch([node], given, trace | {"dW2_loss": wrong})
        (seen,) = (r for r in found if not r.right)
        assert (seen.name, seen.outcome, seen.index) == ("dW2_loss", "wrong", index), "seed 43"


def test_of_a_wrong_product_few_entries_are_looked_at_closely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All 15,000 are over the probable bound, and each exact check takes one step per term."""
    looked: list[int] = []

    def counted(terms: np.ndarray, eps: float) -> np.ndarray:
        looked.append(terms[0].size)
        return drift_of(terms, eps)

    monkeypatch.setattr("torch_parity.compare.bounds.bounded_numbers.drift_of", counted)
    rng = np.random.default_rng(44)
    x, W = (rng.uniform(1, 2, shape).astype(np.float32) for shape in ((150, 400), (100, 400)))
    b = np.zeros(100, np.float32)
    node = next(n for n in recorded("float32")[1] if "z2" in n.outputs)
    given = dict(zip(node.inputs, (x, W, b), strict=True))
    right = (x.astype(float) @ W.T.astype(float)).astype(np.float32)
    (seen,) = replay_stretch([node], given, {"z2": right * np.float32(1 + 200 * 2.0**-23)})
    assert seen.outcome == "wrong", "seed 44"
    assert 1 < seen.use < 10, "a fault that only a closer look can tell from rounding"
    assert sum(looked) == WORST


def test_terms_that_are_not_alike_are_given_little_more() -> None:
    terms = np.random.default_rng(41).normal(size=(400, 5)).astype(np.float32)
    first, closer = (Bounded.exact(terms, d).sum(axis=0) for d in (None, np.ones(5, bool)))
    assert (closer.error < 2 * first.error).all(), "seed 41"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_no_pass(bad: float) -> None:
    _, nodes, start, by_hand, by_torch = recorded("float64")
    broken = by_hand["z2"].copy()
    broken[1, 2] = bad
    both = (by_hand | {"z2": broken}, by_torch | {"z2": broken.copy()})
    verdict = judge(nodes, start, *both)
    assert not verdict.passed
    assert verdict.root.found.outcome == "not finite"


@pytest.mark.parametrize("side", ["manual", "torch"])
def test_a_missing_tensor_is_no_pass(side: str) -> None:
    _, nodes, start, by_hand, by_torch = recorded("float64")
    traces = {"manual": by_hand, "torch": by_torch}
    traces[side] = {n: a for n, a in traces[side].items() if n != "dz2"}
    verdict = judge(nodes, start, traces["manual"], traces["torch"])
    assert not verdict.passed
    assert verdict.root.found.outcome == "missing"


def test_a_wrong_dtype_is_no_pass() -> None:
    _, nodes, start, by_hand, by_torch = recorded("float64")
    low = by_hand | {"a1": by_hand["a1"].astype(np.float32)}
    verdict = judge(nodes, start, low, by_torch)
    assert not verdict.passed
    assert verdict.root.found.outcome == "dtype"


def test_a_gap_that_is_rounding_passes_and_says_so() -> None:
    """db where the sum cancels: two right sides differ by far more than 1e-12 of it."""
    _, nodes, start, by_hand, _ = recorded("float64")
    dz = np.array([[1.0] * 5, [-1.0] * 5] * (len(start["y"]) // 2 + 1))[: len(start["y"])]
    assert dz.shape == by_hand["dz2"].shape
    sums = [node for node in nodes if node.operation == "linear_backward"][-1]
    only = (replace(sums, outputs=("dh1", "dW2_loss", "db2")),)
    known = by_hand | start | {"dz2": dz}
    exact = {"dh1": dz @ start["W2"], "dW2_loss": dz.T @ by_hand["h1"], "db2": dz.sum(0)}
    shifted = exact | {"db2": exact["db2"] + 2e-16}
    verdict = judge(only, known, exact, shifted)
    assert verdict.passed
    assert {d.verdict for d in verdict.differences} <= {"match", "rounding"}


def test_precise_product_is_far_beyond_float64() -> None:
    """Against exact rational arithmetic, with entries over twelve orders of magnitude."""
    from fractions import Fraction

    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=s) * 10.0 ** rng.integers(-6, 6, s) for s in ((3, 40), (40, 2)))
    sizes = np.abs(a) @ np.abs(b)
    wide = a.astype(np.longdouble), b.astype(np.longdouble)
    product, _ = precise_product(*wide, sizes, 2.0**-61 * sizes)
    for i in range(3):
        for j in range(2):
            terms = [Fraction(x) * Fraction(y) for x, y in zip(a[i], b[:, j], strict=True)]
            came = Fraction(float(product[i, j])) + Fraction(
                float(product[i, j] - np.longdouble(float(product[i, j])))
            )
            size = float(sum(abs(t) for t in terms))
            assert abs(float(came - sum(terms))) <= 1e-18 * size


def test_bounds_cover_a_float32_computation_of_any_formula() -> None:
    """The bound of a composed formula, against the same formula in float32, on many draws."""
    rng = np.random.default_rng(12)

    def formula(x, y):  # type: ignore[no-untyped-def]
        return np.exp(-np.abs(x)) * y / (1 + y * y) - np.log1p(y * y) + np.tanh(x @ y.T).sum()

    for _ in range(200):
        x, y = (rng.normal(0, 2, (5, 4)).astype(np.float32) for _ in range(2))
        bounded = formula(Bounded.exact(x), Bounded.exact(y))
        assert np.all(np.abs(formula(x, y) - bounded.value) <= bounded.error)
        assert bounded.error.max() < 1e-3, "a bound that wide would be of no use"


def test_what_only_lacks_its_inputs_is_no_mistake_of_its_own() -> None:
    _, nodes, start, by_hand, by_torch = recorded("float64")
    without = {n: a for n, a in by_hand.items() if n != "z1"}
    verdict = judge(nodes, start, without, by_torch)
    assert not verdict.passed
    assert verdict.diagnoses["manual"].unexplained == ("z1",)
