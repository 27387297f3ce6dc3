"""Traces with gaps: any subset of a step is judged, and a mistake in a gap shows at its end."""

import numpy as np
import pytest
import torch

from tests.drawn import case_and_data, steps
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import Judgement, judge_traces
from torch_parity.compare.sources.recorded import Recorded
from torch_parity.manual.ops.leaky_relu import leaky_relu_backward
from torch_parity.manual.ops.linear import linear
from torch_parity.manual.ops.relu import relu_backward


def recorded(seed: int, dtype: str = "float64") -> Recorded:
    torch.manual_seed(seed)
    return steps(*case_and_data(seed, dtype=dtype))[-1]


def judged(r: Recorded, mine: dict[str, np.ndarray]) -> Judgement:
    rest = {name: r.torch[name] for name in r.torch if name in mine}
    return judge_traces(Trace(r.start, mine, r.nodes), Trace(r.start, rest, r.nodes))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(4100, 4140))
def test_any_subset_of_a_right_step_is_right(dtype: str, seed: int) -> None:
    try:
        r = recorded(seed, dtype)
    except ArithmeticError:
        pytest.skip("diverges")
    rng = np.random.default_rng(seed)
    for share in (0.1, 0.5, 0.9):
        mine = {n: a for n, a in r.manual.items() if rng.random() < share} or {
            "loss": r.manual["loss"]
        }
        j = judged(r, mine)
        assert j.passed, (seed, share, [d for d in j.differences if not d.passed], j.root)


# Mistakes that can be told from what a learner mostly hands over: loss, gradients, new parameters.
NAMED = (
    "bias_gradient_over_the_wrong_axis",
    "bias_missing",
    "gradient_not_averaged",
    "keep_prob",
    "lambda_not_divided_by_m",
    "mask_not_applied_backward",
    "momentum_convention",
    "slope_of_another_activation",
    "weights_transposed_backward",
)


@pytest.mark.parametrize(
    "name", [NAMED[0], *(pytest.param(n, marks=pytest.mark.slow) for n in NAMED[1:])]
)
def test_a_mistake_in_a_gap_is_named_at_its_end(name: str) -> None:
    planted = 0
    for seed in range(4200, 4240):
        try:
            r = recorded(seed)
        except ArithmeticError:
            continue
        known = r.known_to("manual", 24)
        wrong = plant(CATALOGUE[name], r.nodes, known, r.manual, np.random.default_rng(seed))
        if wrong is None:
            continue
        try:
            trace = execute(wrong, known, "manual")
        except ValueError:
            continue  # the shapes do not let the mistake run
        mine = {n: a for n, a in trace.items() if n[:2] in ("lo", "dW", "db") or n[0] in "Wb"}
        moved = any(not np.allclose(a, r.manual[n], rtol=1e-9) for n, a in mine.items())
        if not moved or not all(np.isfinite(a).all() for a in mine.values()):
            continue
        j = judged(r, mine)
        assert not j.passed, f"seed {seed}"
        assert any(name in names for names in j.diagnoses["manual"].names), f"seed {seed}"
        planted += 1
        if planted == 3:
            return
    assert planted, "no configuration shows it"


def test_right_operations_on_other_starts_are_no_rounding() -> None:
    r = recorded(4101)
    other = {**r.start, "W1": r.start["W1"] * (1 + 1e-9)}
    moved = {**r.torch, "z1": linear(r.torch["h0"], other["W1"], other["b1"])}
    names = ("h0", "z1")
    first, second = ({n: t[n] for n in names} for t in (r.manual, moved))
    j = judge_traces(Trace(r.start, first, r.nodes), Trace(other, second, r.nodes))
    assert not j.passed
    verdicts = {d.name: d.verdict for d in j.differences}
    assert (verdicts["given W1"], verdicts["z1"]) == ("differs", "differs")


def test_a_kink_that_rounding_decides_may_fall_either_way() -> None:
    """z is 0.1 + 0.2 - 0.3, whose sign is rounding in float64; the second z is 1."""
    x, W, da = (
        np.array([[0.1, 0.2, 0.3]]),
        np.array([[1.0, 1, -1], [10, 0, 0]]),
        np.array([[3.0, 5]]),
    )
    z = linear(Bounded.exact(x), Bounded.exact(W), Bounded.exact(np.zeros(2)))
    dz = relu_backward(Bounded.exact(da), z)
    assert dz.error[0, 0] >= 3
    assert dz.error[0, 1] < 1e-14
    sloped = leaky_relu_backward(Bounded.exact(da), z, negative_slope=0.25)
    assert sloped.error[0, 0] >= 0.75 * 3
    assert sloped.error[0, 1] < 1e-14
