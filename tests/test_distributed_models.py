"""Every model on ranks that are real processes: the same step as by hand and as in one process."""

from pathlib import Path
from typing import Any

import pytest

from tests import ranks_forked
from tests.slow import after
from torch_parity.compare.case import Case
from torch_parity.compare.commands.shard import write_shards
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.judge import judge_traces
from torch_parity.compare.models import model_names
from torch_parity.compare.sources.ranks import judge_run

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"data": "moons", "samples": 60, "hidden": (5, 4), "batch": 20},
    "residual": {"data": "moons", "samples": 60, "hidden": (5, 4), "batch": 20},
    "convnet": {"data": "digits", "hidden": (2, 3, 5), "batch": 400},
    "char_lstm": {"data": "sums", "samples": 40, "length": 5, "hidden": (3, 4), "batch": 10},
    "gpt": {"data": "sums", "samples": 40, "length": 5, "hidden": (4, 2), "batch": 10},
}
COMMON: dict[str, Any] = {"p": 0.3, "l2": 0.5, "bias_scale": 0.3, "steps": 2, "optimizer": "adam"}


def trained(model: str, folder: Path, fsdp: bool = False, **fixed: Any) -> Path:
    case = Case(**({"model": model} | SMALL[model] | COMMON | fixed))
    write_shards(case, (3, 2), folder)
    statuses, said = ranks_forked.run(folder, ranks=2, fsdp=fsdp)
    assert statuses == [0, 0], said
    return folder


@pytest.mark.parametrize("fsdp", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", after(2, [*SMALL][::-1]))
def test_two_uneven_ranks_take_the_step_of_one_process(
    model: str, fsdp: bool, tmp_path: Path
) -> None:
    (step,) = judge_run(trained(model, tmp_path / "run", fsdp))
    assert step.by_hand.passed, step.by_hand.verdict
    assert step.one_process.passed, step.one_process.verdict
    found = step.one_process.judgement.differences
    # the gradient of a key's bias is 0 in theory, and nothing but rounding here
    assert max(d.relative for d in found if ".k.bias" not in d.name) < 1e-11
    seen = {d.name for d in step.by_hand.judgement.differences}
    net = step.shards[0].nodes
    made = {name for node in net for name in node.outputs if "#" not in name}
    assert seen >= made


def test_a_rank_that_keeps_its_own_gradient_is_seen(tmp_path: Path) -> None:
    """As without an all-reduce."""
    (step,) = judge_run(trained("gpt", tmp_path / "run"))
    hand, ranks = step.shards
    wrong = dict(ranks.made)
    wrong["head.bias.grad_r1"] = wrong["head.bias.grad_own_r1"]
    found = judge_traces(hand, type(ranks)(ranks.given, wrong, ranks.nodes))
    assert found.wrong_sides == ("torch",)
    assert "head.bias.grad_r1" in found.wrong["torch"]


def test_batch_norm_is_refused_with_the_reason(tmp_path: Path) -> None:
    assert {*SMALL, "resnet"} == {*model_names()}
    with pytest.raises(InputError, match="each rank's own rows"):
        write_shards(Case(model="resnet"), (3, 2), tmp_path / "run")
