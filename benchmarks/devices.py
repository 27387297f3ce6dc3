"""Five models of the zoo on an accelerator: is every call right, and does the accelerator compute
what the CPU computes?

`python -m benchmarks.devices --device cuda` prints a line a model and dtype. Nothing here runs in
the tests, which may not assume an accelerator.
"""

import copy
import platform
from collections import Counter
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.zoo.cases import ZooCase, case
from torch_parity.compare.aten.check import check_step, check_steps
from torch_parity.compare.aten.report import ModelReport
from torch_parity.compare.aten.step import Step
from torch_parity.compare.errors import InputError

MODELS = ("mlp", "resnet", "gpt", "lstm", "encoder")


@click.command()
@click.option("--device", default="cuda", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(device: str, seed: int) -> None:
    """Judge five models on an accelerator, and against the CPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise click.ClickException("no CUDA device here: nothing was judged")
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    table = Table(title=f"{name}, torch {torch.__version__}")
    for header in ("model", "dtype", "calls", "judged", "wrong", "greatest use", "against the CPU"):
        table.add_column(header)
    unjudged: Counter[str] = Counter()
    for model in MODELS:
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            there = moved(case(model, seed, dtype), device)
            try:
                report = check_step(there)
            except InputError as error:
                print(model, dtype, error)
                continue
            unjudged.update(v.reason for v in report.unjudged)
            pair = check_steps(step(case(model, seed, dtype)), there, {})
            table.add_row(*row(model, dtype, report), pair.outcome)
            for v in report.wrong[:3]:
                print(model, dtype, v.call.name, v.output, v.held)
            if pair.outcome == "FAIL":
                print("\n".join(pair.verdict.splitlines()[:14]))
    Console(width=120).print(table)
    for reason, n in unjudged.most_common():
        print(n, reason)


def row(model: str, dtype: torch.dtype, report: ModelReport) -> list[str]:
    """The cells of one model."""
    counts = report.calls, report.judged, len(report.wrong)
    return [model, str(dtype), *map(str, counts), f"{report.greatest_use:.2f}"]


def step(c: ZooCase) -> Step:
    """A case as a step."""
    return Step(c.model, c.inputs, c.keywords, c.loss, c.target, c.optimizer, c.name)


def moved(c: ZooCase, device: str) -> Step:
    """The same step on a device."""

    def to(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        if isinstance(value, dict):
            return {key: to(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(to(item) for item in value)
        return value

    model, optimizer = copy.deepcopy((c.model, c.optimizer))
    assert isinstance(model, nn.Module)
    model.to(device)
    fused = any(group.get("fused") for group in optimizer.param_groups)
    for state in optimizer.state.values():
        for key, value in state.items():
            if isinstance(value, Tensor) and (fused or key != "step"):
                state[key] = value.to(device)
    return Step(model, to(c.inputs), to(c.keywords), c.loss, to(c.target), optimizer, c.name)


if __name__ == "__main__":
    main()
