"""What judging one step costs, in steps.

    python -m benchmarks.torch_models.costs

A plain step, the same under the recorder, and the replay of its record take turns in one process,
one thread each. The steps take 100 ms or more.
"""

import statistics
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

import click
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.torch_models.results import keep, one_thread
from benchmarks.zoo import cases
from benchmarks.zoo.models.gpt import GPT
from benchmarks.zoo.models.recurrent import Classifier
from benchmarks.zoo.models.resnet import ResNet
from benchmarks.zoo.models.vit import ViT
from torch_parity.compare.aten.check import model_report
from torch_parity.compare.aten.recording import recorded
from torch_parity.compare.aten.step import Step


def gpt(share: float) -> Step:
    """8 sequences of 64 tokens, 4 layers of 128 units."""
    ids = torch.randint(1, 512, (max(1, int(8 * share)), 64))
    model = GPT(512, 64, 128, 4, 4)
    return of(model, ids, cases.next_token, ids)


def vit(share: float) -> Step:
    """16 images of 64x64 in patches of 8x8, 4 layers of 128 units."""
    model, batch = ViT(64, 8, 128, 4, 4, 10), max(1, int(16 * share))
    return of(model, torch.randn(batch, 3, 64, 64), cases.classify, torch.randint(10, (batch,)))


def resnet(share: float) -> Step:
    """16 images of 64x64, 32 channels."""
    model, batch = ResNet(32, 10), max(2, int(16 * share))
    return of(model, torch.randn(batch, 3, 64, 64), cases.classify, torch.randint(10, (batch,)))


def lstm(share: float) -> Step:
    """64 sequences of 64 steps, 256 units."""
    model = Classifier(nn.LSTM(64, 256, batch_first=True), 256, 10)
    batch = max(2, int(64 * share))
    return of(model, torch.randn(batch, 64, 64), cases.classify, torch.randint(10, (batch,)))


def mlp(share: float) -> Step:
    """1024 rows, 3 layers of 1024 units."""
    layers = [nn.Linear(1024, 1024), nn.GELU(), nn.Linear(1024, 1024), nn.GELU()]
    model, rows = nn.Sequential(*layers, nn.Linear(1024, 10)), max(2, int(1024 * share))
    return of(model, torch.randn(rows, 1024), F.cross_entropy, torch.randint(10, (rows,)))


Maker = Callable[[float], Step]
MODELS: tuple[Maker, ...] = (mlp, lstm, resnet, vit, gpt)


def of(model: nn.Module, x: torch.Tensor, loss: Callable[..., Any], target: torch.Tensor) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return Step(model, (x,), None, loss, target, optimizer)


def plain(step: Step) -> None:
    assert step.loss is not None
    assert step.optimizer is not None
    step.optimizer.zero_grad()
    step.loss(step.model(*step.inputs), step.target).backward()
    step.optimizer.step()


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    began = perf_counter()
    found = run()
    return perf_counter() - began, found


def measured(make: Maker, share: float, rounds: int) -> dict[str, Any]:
    """Medians over the rounds: of the seconds of a step, and of what the others take in steps."""
    torch.manual_seed(0)
    step = make(share)
    plain(step)
    recorded(step)
    steps, captures, replays = [], [], []
    for _ in range(rounds):
        seconds = min(timed(lambda: plain(step))[0] for _ in range(3))
        capture, record = timed(lambda: recorded(step))
        replay, report = timed(lambda record=record: model_report(record, ""))
        if report.wrong:
            raise AssertionError(f"{make.__name__}: a right model is called wrong: {report}")
        steps.append(seconds)
        captures.append(capture / seconds)
        replays.append(replay / seconds)
    return {
        "what": (make.__doc__ or "").strip(),
        "seconds": statistics.median(steps),
        "capture": statistics.median(captures),
        "replay": statistics.median(replays),
        "judged": report.judged / report.calls,
    }


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--share", default=1.0, help="of the rows: 1 makes steps of 100 ms or more")
def main(rounds: int, share: float) -> None:
    """Time the judge on five models; keep the figures."""
    warnings.simplefilter("ignore")
    one_thread()
    found = {}
    for make in MODELS:
        found[make.__name__] = measured(make, share, rounds)
        print(make.__name__, found[make.__name__], flush=True)
    keep("costs", {"models": found, "rounds": rounds})


if __name__ == "__main__":
    main()
