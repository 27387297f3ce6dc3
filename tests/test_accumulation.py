"""Gradient accumulation and clipping: both sides, the judge's law of them, and what it sees."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.command import parity, refusal
from torch_parity import manual
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE, clipping
from torch_parity.compare.causes.accumulation import CAUSES
from torch_parity.compare.causes.cause import Cause
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.phases import phases
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import SIDES, Judgement, Side, judge_traces
from torch_parity.compare.runs.training import Training
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.arrays.start import given
from torch_parity.compare.sources.files.trace_file import load, save
from torch_parity.compare.sources.ranks import job_of
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.torch_ref.models.step import accumulated_step
from torch_parity.torch_ref.ops.clip_grads_with_norm import clip_grads_with_norm

SMALL: dict[str, Any] = {
    "data": "moons",
    "samples": 60,  # 48 to train on: batches of 20, 20 and 8
    "hidden": (5, 4),
    "batch": 20,
    "steps": 4,
    "lr": 0.02,
    "log_every": 2,
}
LOSS_ROUTE = {"l2_route": "loss", "l1": 0.3}
IN_PARTS = ({"accumulate": 3}, {"accumulate": 3, "clip_norm": 0.05})  # of 7, 7 and 6 samples
CLIPPED = ({"clip_norm": 0.05}, {"clip_norm": 90.0, "l2_route": "loss"})  # all, and none


def case_of(**chosen: Any) -> Case:
    return Case.model_validate(SMALL | chosen)


def judged(**chosen: Any) -> list[Judgement]:
    case = case_of(**chosen)
    loaded = data.load(case)
    return [record.judgement for record in Training(case, loaded, pair.build(case, loaded))]


def third_step(**chosen: Any) -> Recorded:
    case = case_of(**chosen)
    loaded = data.load(case)
    built = pair.build(case, loaded)
    torch.manual_seed(0)
    x, y = loaded.x_train[: case.batch], built.targets.y_train[: case.batch]
    return record(built, x, y, 3)[-1]


def test_a_batch_is_cut_as_torch_cuts_it() -> None:
    for samples in range(1, 30):
        for count in range(1, 9):
            parts = torch.zeros(samples).tensor_split(min(count, samples))
            assert manual.micro_batches(samples, count) == tuple(map(len, parts))


@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_micro_batches_add_up_to_the_gradient_of_the_whole_batch(
    count: int, reduction: str
) -> None:
    """In float64, with dropout: the masks are those of the micro-batches."""
    case = case_of(accumulate=count, reduction=reduction, p=0.3, loss="mse_loss")
    loaded = data.load(case)
    built = pair.build(case, loaded)
    x, y = loaded.x_train[:20], built.targets.y_train[:20]
    torch.manual_seed(0)
    by_torch, masks = built.torch.step(x, y)
    side = built.manual
    by_hand = side.step(built.params, built.state, x, y, masks)
    whole = manual.step(
        side.net, side.optimizer, built.params, built.state, x, y, side.whole(masks)
    )
    for name in (n for n in whole if n.startswith(("dW", "db", "loss", "W", "b"))):
        for found in (by_hand, by_torch):
            np.testing.assert_allclose(found[name], whole[name], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("clip_norm", [0.01, 100.0])
@pytest.mark.parametrize("count", [1, 3])
def test_the_recorded_step_is_torchs_own(count: int, clip_norm: float) -> None:
    """Bit for bit the plain loop of torch_ref/models/step.py."""
    case = case_of(accumulate=count, clip_norm=clip_norm, p=0.0)
    loaded = data.load(case)
    recorded, plain = (pair.build(case, loaded) for _ in range(2))
    x, y = loaded.x_train[:20], recorded.targets.y_train[:20]
    task = plain.torch.task
    for _ in range(3):
        recorded.torch.step(x, y)
        accumulated_step(
            task.net, task.criterion, task.optimizer, *map(torch.tensor, (x, y)), count, clip_norm
        )
    for name, p in recorded.torch.params().items():
        np.testing.assert_array_equal(p, plain.torch.params()[name])


@pytest.mark.parametrize(
    "chosen",
    [
        {"accumulate": 3},
        {"accumulate": 20, "dtype": "float32", "optimizer": "adamw"},
        {"accumulate": 4, "dtype": "bfloat16", "schedule": "step_lr", "step_size": 2},
        {"accumulate": 3, "clip_norm": 0.05, "reduction": "sum"},
        {"clip_norm": 0.05, "dtype": "float32"},
        {"clip_norm": 0.05, "dtype": "bfloat16"},
        {"clip_norm": 0.05, **LOSS_ROUTE},
        {"clip_norm": 0.05, "accumulate": 3, "dtype": "float32", **LOSS_ROUTE},
        {"clip_norm": 50.0, "optimizer": "rmsprop"},
        {"model": "residual", "accumulate": 3, "clip_norm": 0.5},
    ],
    ids=str,
)
def test_right_sides_pass(chosen: dict[str, Any]) -> None:
    made = judged(**chosen)
    assert len(made) == SMALL["steps"]
    names = {d.name for d in made[0].differences}
    assert ("total_norm" in names) == ("clip_norm" in chosen)
    assert any(name.endswith("_m2") for name in names) == ("accumulate" in chosen)
    for judgement in made:
        assert judgement.passed, judgement.root


IMAGES: dict[str, Any] = {"data": "digits", "hidden": (2, 3, 6)}
TEXT: dict[str, Any] = {"data": "sums", "length": 6, "samples": 40}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "chosen",
    [
        {"model": "convnet", **IMAGES, "accumulate": 3, "clip_norm": 0.1},
        {"model": "resnet", "data": "digits", "hidden": (2, 2, 3), "clip_norm": 0.1},
        {"model": "char_lstm", **TEXT, "hidden": (4, 6), "accumulate": 3, "clip_norm": 0.1},
        {"model": "gpt", **TEXT, "hidden": (8, 2), "accumulate": 3, "clip_norm": 0.1},
    ],
    ids=lambda chosen: chosen["model"],
)
def test_right_sides_of_other_models_pass(chosen: dict[str, Any], dtype: str) -> None:
    for judgement in judged(**chosen, dtype=dtype, batch=9, steps=2):
        assert judgement.passed, judgement.root


def named(cause: Cause, side: Side, r: Recorded, way: int) -> Judgement | None:
    """The judgement of the step with the mistake; None where it has no place there."""
    known = r.known_to(side, 20)
    rng = np.random.default_rng(0)
    wrong = plant(cause, r.nodes, known, r.trace(side), rng, way)
    return None if wrong is None else r.judge_instead(side, execute(wrong, known, side), 20)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "cause", [*CAUSES, *clipping.CAUSES, CATALOGUE["stale_gradients"]], ids=lambda c: c.name
)
@pytest.mark.every(2)
def test_each_mistake_is_named(cause: Cause, side: Side) -> None:
    """With uneven micro-batches, or gradients clipped before the penalty or after it."""
    seen = set()
    for chosen in CLIPPED if cause in clipping.CAUSES else IN_PARTS:
        r = third_step(p=0.0, hidden=(3,), **chosen)
        for way in range(len(cause.ways)):
            found = named(cause, side, r, way)
            if found is None or found.passed:
                continue
            seen.add(way)
            assert found.wrong_sides == (side,), chosen
            assert found.diagnoses[side].names == (frozenset({cause.name}),), chosen
    ways = range(len(cause.ways))
    assert seen == {*(ways[1:] if cause.name == "stale_gradients" else ways)}


def test_what_reads_gradients_belongs_to_the_backward() -> None:
    """The curves and the graph of TensorBoard are by phase."""
    found = phases(third_step(p=0.0, hidden=(3,), accumulate=3, clip_norm=0.05).nodes)
    assert found["loss"] == found["loss_share_m0"] == found["cost"] == "forward"
    for name in ("dW1_m0", "dW1_loss_unclipped", "db1_unclipped", "total_norm", "db1", "dW1"):
        assert found[name] == "backward", name
    assert found["W1"] == found["vW1"] == "update"


def test_files_of_micro_batches_are_judged(tmp_path: Path) -> None:
    """And a mistake is named there as well."""
    chosen = {"accumulate": 3, "clip_norm": 0.05, "p": 0.0, "hidden": (3,)}
    r = third_step(**chosen)
    wrong = plant(CAUSES[0], r.nodes, r.known_to("torch", 20), r.torch, np.random.default_rng(0))
    assert wrong is not None
    made = {"right": r.torch, "wrong": execute(wrong, r.known_to("torch", 20), "torch")}
    traces = {}
    for name, tensors in {"hand": r.manual, **made}.items():
        save(tmp_path / f"{name}.safetensors", Trace(r.start, tensors, r.nodes), {})
        file = load(tmp_path / f"{name}.safetensors")
        traces[name] = Trace(file.given, file.made, file.nodes)
    assert judge_traces(traces["hand"], traces["right"]).passed
    found = judge_traces(traces["hand"], traces["wrong"])
    assert found.diagnoses["torch"].names == (frozenset({CAUSES[0].name}),)


def test_a_resumed_training_takes_the_same_steps() -> None:
    """Bit for bit, masks and clipped gradients included."""
    case = case_of(accumulate=3, clip_norm=0.05, schedule="cosine_lr", optimizer="adam", steps=5)
    loaded = data.load(case)
    whole = Training(case, loaded, pair.build(case, loaded))
    states = [whole.state() for _ in whole]
    again = Training(case, loaded, pair.build(case, loaded), start=states[1])
    for _ in again:
        pass
    for side in ("manual", "torch", "perturbed_copy"):
        for name, p in getattr(states[-1], side).params.items():
            np.testing.assert_array_equal(getattr(again.state(), side).params[name], p)


@contextmanager
def backward_of(scale: float) -> Iterator[None]:
    """torch, with the loss of a micro-batch not divided."""
    right = torch.Tensor.__mul__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "__mul__", lambda a, b: right(a, scale if a.ndim == 0 else b))
        yield


def test_a_loss_that_torch_does_not_divide_is_named() -> None:
    with backward_of(1.0):
        found = judged(accumulate=4, l2=0.0, p=0.0, steps=1)[0]
    assert found.wrong["manual"] == ()
    assert found.diagnoses["torch"].names == (frozenset({"micro_batch_loss_not_divided"}),)


def test_gradients_that_torch_clears_too_often_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """zero_grad in the loop over the micro-batches."""
    right = nn.Sequential.__call__

    def clears(self: nn.Sequential, *args: Any) -> Any:
        self.zero_grad()
        return right(self, *args)

    monkeypatch.setattr(nn.Sequential, "__call__", clears)
    found = judged(accumulate=4, steps=1)[0]
    assert found.wrong["manual"] == ()
    assert found.diagnoses["torch"].names == (frozenset({"last_micro_batch_alone"}),)


def test_gradients_that_torch_never_clears_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim.Optimizer, "zero_grad", lambda self: None)
    found = judged(accumulate=4, steps=2)
    assert found[0].passed
    assert found[1].wrong["manual"] == ()
    assert found[1].diagnoses["torch"].names == (frozenset({"stale_gradients"}),)


def test_clipping_that_torch_leaves_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    norm = nn.utils.get_total_norm
    monkeypatch.setattr(
        nn.utils, "clip_grad_norm_", lambda params, most: norm([p.grad for p in params])
    )
    found = judged(clip_norm=0.05, steps=1)[0]
    assert found.wrong["manual"] == ()
    assert found.diagnoses["torch"].names == (frozenset({"not_clipped"}),)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="accumulate is 21, but a batch has only 20 samples"):
        case_of(accumulate=21)
    with pytest.raises(ValueError, match="use --l2-route loss"):
        case_of(clip_norm=1.0, l1=0.1)
    resnet = case_of(model="resnet", data="digits", hidden=(2, 2, 3), accumulate=2)
    with pytest.raises(InputError, match="Batch norm normalizes"):
        pair.build(resnet, data.load(resnet))
    with pytest.raises(InputError, match="accumulate is 2: your arrays are judged as one batch"):
        given(case_of(accumulate=2))
    for chosen in ({"accumulate": 2}, {"clip_norm": 1.0}):
        case = case_of(**chosen)
        built = pair.build(case, data.load(case))
        with pytest.raises(InputError, match="ranks train"):
            job_of(case, built, (24, 24))


def test_gradients_are_checked_over_all_micro_batches_and_never_clipped() -> None:
    chosen = ("--data", "moons", "--samples", "40", "--hidden", "3", "--steps", "2")
    clipped = parity("train", *chosen, "--gradcheck", "1", "--clip-norm", "0.1")
    assert "leave --clip-norm" in refusal(clipped)
    added = parity("gradcheck", *chosen, "--accumulate", "2")
    assert "leave --accumulate out" in refusal(added)


def test_a_norm_at_its_limit_has_the_slope_of_torchs_clamp() -> None:
    """There max_norm / (total_norm + 1e-6) is 1."""
    rng = np.random.default_rng(2)
    gradient, upstream = rng.normal(size=(2, 3, 4))
    at = [torch.tensor(a, requires_grad=True) for a in (gradient, np.ones(()))]
    limit = 1 + 1e-6
    clip_grads_with_norm(limit)(*at).backward(torch.tensor(upstream))
    found = manual.clip_grads_with_norm_backward(upstream, gradient, np.ones(()), max_norm=limit)
    for ours, t in zip(found, at, strict=True):
        assert t.grad is not None
        np.testing.assert_allclose(ours, t.grad, rtol=1e-12)
