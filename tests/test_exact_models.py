"""The exact gradient of every model: both sides are right by it, and a wrong backward is not."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests import test_char_lstm, test_gpt, test_image_models, test_residual
from tests.slow import after
from torch_parity import manual
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.gradients.derivable import require_derivable
from torch_parity.compare.gradients.gradcheck import check_moment, moments
from torch_parity.compare.models import model_names
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import Recorded
from torch_parity.manual.models.step import buffers_of

# mistakes in the backward of each, with a right forward
MISTAKES = {
    "mlp": ("bias_gradient_over_m_minus_1",),
    "residual": ("shortcut_gradient_missing",),
    "convnet": ("bias_gradient_averaged",),
    "resnet": ("norm_gradient_without_mean", "norm_gradient_without_variance"),
    "char_lstm": ("time_gradient_truncated",),
    "gpt": ("attention_gradient_without_sum", "attention_gradient_without_scale"),
}


@cache
def third_step(model: str, seed: int, p: float = 0.3) -> Recorded:
    """A step of a small model in float64, with dropout and both penalties."""
    fixed: dict[str, Any] = {"p": p, "l1": 0.2, "l2": 0.7, "dtype": "float64"}
    if model in ("convnet", "resnet"):
        return test_image_models.third_step(model, seed, **fixed)
    if model == "gpt":
        return test_gpt.third_step(seed, **fixed)
    if model == "char_lstm":
        rng = np.random.default_rng(seed)
        widths = int(rng.integers(1, 5)), int(rng.integers(2, 7))
        case = test_char_lstm.small(seed, hidden=widths, length=int(rng.integers(2, 9)), **fixed)
        return test_char_lstm.third_step(case)
    return test_residual.third_step(test_residual.case_of(seed, model=model, **fixed))


def at(r: Recorded) -> tuple[Any, ...]:
    """The arguments of exact_gradient."""
    net = r.pair.manual.net
    params = {n: r.start[n] for n in (*net.shapes(), *buffers_of(net))}
    masks = {n: r.start[n] for n in net.shapes_of_masks(1) if n in r.start}
    return net, params, r.start["x"], r.start["y"], masks


SEEDS = [(model, seed) for seed in range(30) for model in model_names()]


@pytest.mark.parametrize("drawn", after(len(model_names()), SEEDS))
def test_both_sides_are_right_and_a_small_error_is_found(drawn: tuple[str, int]) -> None:
    """By a bound of which a right gradient takes up less than half."""
    (model, seed), r = drawn, third_step(*drawn)
    for side in (r.manual, r.torch):
        check = manual.exact_check(*at(r), side)
        assert check.verdict in ("right to rounding", "right but for kinks"), (model, seed)
        assert check.passed, (model, seed)
        assert max(p.use for p in check.parameters if not p.by_kink) < 0.5, (model, seed)
    net, rng = r.pair.manual.net, np.random.default_rng(seed)
    name = str(rng.choice([n for n in net.shapes() if not n.endswith("k.bias")]))  # 0 in theory
    gradient = net.names.gradient(name)
    off = {**r.manual, gradient: r.manual[gradient].copy()}
    largest = np.abs(off[gradient]).argmax()
    bound = manual.exact_gradient(*at(r)).bounds[name].flat[largest]
    size = abs(off[gradient].flat[largest])
    if size > 1e-6:  # an error below the bound, after a norm of numbers almost alike, is rounding
        assert bound < 1e-7 * size, (model, seed)
        off[gradient].flat[largest] += max(1e-9 * size, 2 * bound)
        assert manual.exact_check(*at(r), off).wrong == (name,), (model, seed)


@pytest.mark.parametrize("model", model_names())
def test_a_wrong_backward_is_found(model: str) -> None:
    r = third_step(model, 1, p=0.0)
    known = r.known_to("manual", 2 * len(r.start["x"]))
    for mistake in MISTAKES[model]:
        wrong = plant(CATALOGUE[mistake], r.nodes, known, r.manual, np.random.default_rng(0))
        assert wrong is not None, mistake
        made = execute(wrong, known, "manual")
        assert np.array_equal(made["loss"], r.manual["loss"]), mistake  # the forward is right
        check = manual.exact_check(*at(r), {**r.manual, **made})
        assert check.wrong, mistake
        assert check.loop_use <= 1, mistake


def test_training_can_check_every_model() -> None:
    for model in model_names():
        require_derivable(third_step(model, 0).pair.manual.net)


def test_every_method_of_the_command_fits_batch_norm() -> None:
    """Without dropout there is no mask, and batch norm still takes the batch's statistics."""
    case, loaded = test_image_models.drawn("resnet", 1, hidden=(3, 3), p=0.0, dtype="float64")
    sides = pair.build(case, loaded)
    (first,) = moments(case, loaded, sides, None)
    found = check_moment(sides, first, lambda _: None)
    assert found.passed
    assert {line.verdict for line in found.lines[3:]} == {"right to 1e-3"}
