"""examples/plain: each program runs, and takes the very steps of torch's side, which are judged
against the hand-written ones."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from torch_parity import Case
from torch_parity.compare import data
from torch_parity.compare.flow.law import flow
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.sources import pair

FOLDER = Path(__file__).parents[1] / "examples/plain"
CHOICES: dict[str, dict[str, Any]] = {
    "residual": {"hidden": (32, 24, 24)},
    "char_lstm": {"data": "sums", "samples": 700},
    "gpt": {"data": "sums", "samples": 800, "lr": 0.1},
}
BATCHES = 4


def program(model: str) -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / f"{model}.py"))


@pytest.mark.parametrize("model", ["mlp", "residual", "convnet", "resnet", "char_lstm", "gpt"])
def test_it_takes_the_steps_that_are_judged_against_the_hand_written_ones(model: str) -> None:
    case = Case(model=model, dtype="float32", l2=0.7, p=0.2, **CHOICES.get(model, {}))
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    plain = program(model)
    net = plain["Net"]()
    with torch.no_grad():
        for p, ours in zip(net.parameters(), sides.torch.parameters.values(), strict=True):
            p.copy_(ours)
    shape = loaded.x_train.shape[1:]
    rows = [slice(i * 64, (i + 1) * 64) for i in range(BATCHES)]
    of_images = (-1, *loaded.image) if model.endswith("net") and loaded.image else (-1, *shape)
    batches = [
        [torch.tensor(a[r]) for a in (loaded.x_train.reshape(of_images), loaded.labels_train)]
        for r in rows
    ]
    torch.manual_seed(3)
    plain["train"](net, batches, 1, lr=case.lr, weight_decay=case.l2 / len(loaded.x_train))

    torch.manual_seed(3)
    params, state = sides.params, sides.state
    for r in rows:
        x, y = loaded.x_train[r], sides.targets.y_train[r]
        by_torch, masks = sides.torch.step(x, y)
        by_hand = sides.manual.step(params, state, x, y, masks)
        nodes = flow(sides.manual.net, sides.manual.optimizer, masks)
        start = {"x": x, "y": y, **params, **state, **masks}
        assert judge(nodes, start, by_hand, by_torch, always_replay=r is rows[-1]).passed
        params, state = ({n: by_torch[n] for n in at} for at in (params, state))
    for p, ours in zip(net.parameters(), sides.torch.parameters.values(), strict=True):
        assert torch.equal(p, ours)
    statistics = [b for b in net.buffers() if b.is_floating_point()]
    for b, ours in zip(statistics, sides.torch.task.buffers.values(), strict=True):
        assert torch.equal(b, ours)

    x_dev = loaded.x_dev.reshape(of_images)
    score = plain["accuracy"](net, torch.tensor(x_dev), torch.tensor(loaded.labels_dev))
    output = sides.torch.outputs(loaded.x_dev)[sides.manual.net.result]
    assert score == pytest.approx(np.mean(output.argmax(axis=1) == loaded.labels_dev))


@pytest.mark.parametrize(
    "model",
    [
        "mlp",
        pytest.param("residual", marks=pytest.mark.slow),
        "convnet",
        "resnet",
        pytest.param("gpt", marks=pytest.mark.slow),
    ],
)
def test_it_runs(
    model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(devices=[]):
        program(model)["main"]()
    said = capsys.readouterr().out
    what, least = ("64 pieces of text", 20) if model == "gpt" else ("359 samples", 85)
    assert said.startswith(f"accuracy on {what} held back: "), said
    assert float(said.split()[-1].rstrip("%")) > least, said
    assert (tmp_path / f"{model}.pt").exists()
