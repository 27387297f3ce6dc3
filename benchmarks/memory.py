"""How much memory it takes to judge a step whose tensors do not fit, with keep= and without.

    python -m benchmarks.memory --budget 48

The model's tensors together take ten times the budget (in MB); at any time only a few of them are
alive, since its blocks are checkpointed. Each way runs in a process of its own, which prints how
far its peak lies above what it needed before.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

MB = 1 << 20
ROWS, WIDTH = 256, 512  # a tensor of 0.5 MB


class Block(nn.Module):
    """A few operations, whose tensors are computed again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def inside(self, x: Tensor) -> Tensor:
        for _ in range(4):
            x = x + 0.1 * torch.tanh(x * self.scale)
        return x

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = checkpoint(self.inside, x, use_reentrant=False)
        return out


# The tensors of a block: 16 of its forward, as many again, and 21 of its backward.
MB_A_BLOCK = 0.5 * 53


def model(budget: int) -> nn.Sequential:
    """As many blocks as make ten times the budget, in MB."""
    torch.manual_seed(0)
    return nn.Sequential(*(Block() for _ in range(round(10 * budget / MB_A_BLOCK))))


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def measured(budget: int, keep: str | None, what: str) -> dict[str, float | str]:
    """Judge once -> the verdict, and the memory it took."""
    from torch_parity import check_model, check_modules

    torch.set_num_threads(1)
    x, loss = torch.randn(ROWS, WIDTH, requires_grad=True), lambda out: out.square().mean()
    small = nn.Sequential(Block())
    check_model(small, x, loss=loss)  # what is imported on use
    before = peak()
    if what == "check_model":
        report = check_model(model(budget), x, loss=loss, keep=keep)
        record = report.record
    else:
        other = check_modules(model(budget), model(budget), x, loss=loss, keep=keep)
        report, record = other.models[0], other.alignment.b
    after = peak()
    places = {r.place: r for c in record.calls for r in (*c.inputs, *c.outputs)}
    trace = sum(record.snapshots.nbytes_of(r) for r in places.values()) / MB
    return {
        "verdict": report.short.split()[0],
        "calls": len(record.calls),
        "trace_mb": round(trace),
        "peak_mb": round(after - before),
    }


def child(budget: int, keep: str | None, what: str) -> dict[str, float | str]:
    """measured, in a process of its own, whose allocator returns what is freed at once: else the
    model alone keeps more than the budget."""
    arguments = ["--budget", str(budget), "--what", what, "--child", keep or ""]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    found: dict[str, float | str] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--budget", type=int, default=48, help="MB; the trace has ten times as much"
    )
    parser.add_argument("--what", choices=["check_model", "check_modules"], default="check_model")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(measured(args.budget, args.child or None, args.what)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for keep in (None, folder):
            print("keep" if keep else "in memory", child(args.budget, keep, args.what), flush=True)


if __name__ == "__main__":
    main()
