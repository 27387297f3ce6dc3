"""Known mistakes between two models: named whichever of the two has them, and nothing else is.

The mistakes are planted in the models of benchmarks/zoo; `python -m benchmarks.modules` plants
every kind.
"""

import pytest
import torch

from benchmarks.zoo.cases import ZooCase
from benchmarks.zoo.mistakes import KINDS, Mistake, mistake
from benchmarks.zoo.pairs import pair
from torch_parity.compare.aten.causes import CATALOGUE
from torch_parity.compare.aten.check import check_steps
from torch_parity.compare.aten.reports import ModulesReport
from torch_parity.compare.aten.step import Step

SEED = 0
NAMES = {entry.name for entry in CATALOGUE}
QUICK = (
    "gelu_tanh", "layer_norm_eps", "scale_missing", "softmax_over_queries", "kernel_flipped",
    "residual_missing", "learning_rate", "betas_swapped", "biases_decayed", "label_shift",
    "gradient_hook_scales", "weight_frozen",
)  # fmt: skip


def step(case: ZooCase, called: str) -> Step:
    return Step(
        case.model, case.inputs, case.keywords, case.loss, case.target, case.optimizer, called
    )


def both_ways(m: Mistake) -> list[ModulesReport]:
    """The mistake in b, then in a."""
    return [
        check_steps(step(a, "a"), step(b, "b"), {})
        for a, b in ((m.right, m.wrong), (m.wrong, m.right))
    ]


def test_the_catalogue_is_large_and_says_what_each_is() -> None:
    assert len(NAMES) >= 50
    assert all(entry.line for entry in CATALOGUE)


@pytest.mark.parametrize("kind", [k for k in QUICK if k in KINDS])
def test_a_planted_mistake_is_named_whichever_model_has_it(kind: str) -> None:
    m = mistake(kind, SEED, torch.float64)
    for report in both_ways(m):
        where = f"{kind} in {m.architecture}, seed {SEED}\n{report}"
        assert report.outcome == "FAIL", where
        assert report.causes == (m.cause,), where
        assert len(report.explanations) == 1, where


@pytest.mark.parametrize("kind", ["qkv_fused_or_split", "lstm_cells", "conv_unfold"])
def test_a_right_port_is_told_to_change_nothing(kind: str) -> None:
    from benchmarks.zoo.pairs import KINDS as PAIRS

    if kind not in PAIRS:
        pytest.skip(f"{kind} is no kind of pair")
    p = pair(kind, SEED, torch.float64)
    for a, b in ((p.a, p.b), (p.b, p.a)):
        report = check_steps(step(a, "a"), step(b, "b"), {})
        assert report.outcome == "PASS", f"{kind}, seed {SEED}\n{report}"
        assert report.causes == ()
        assert report.explanations == ()
