"""The traces from JAX and from Keras: right against torch, and a planted mistake named. They run
where the extras `jax` and `keras` are installed."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.command import Ended
from torch_parity.compare.commands.diff import diff

EXAMPLES = Path(__file__).parents[1] / "examples"
CASE = "--data moons --hidden 5 --activation tanh --p 0 --l2 0 --dtype float32"
LOSS = "--loss binary_cross_entropy_with_logits"


@dataclass(frozen=True)
class Framework:
    """What its example needs, the optimizer of the step, and the mistake that it can plant: the
    operation that is wrong first, and the cause."""

    name: str
    packages: tuple[str, ...]
    options: str
    tensors: int
    mistake: str
    first: str
    cause: str


FRAMEWORKS = (
    Framework(
        *("jax", ("jax", "flax", "optax"), "--optimizer momentum", 40),
        *("momentum", "momentum -> vW1", "momentum_missing"),
    ),
    Framework(
        *("keras", ("keras", "tensorflow"), "--optimizer sgd", 32),
        *("sum", "binary_cross_entropy_with_logits -> loss", "reduction"),
    ),
)
INSTALLED = [
    pytest.param(
        f,
        id=f.name,
        marks=pytest.mark.skipif(
            not all(map(find_spec, f.packages)), reason=f"the extra {f.name} is not installed"
        ),
    )
    for f in FRAMEWORKS
]


def files(framework: Framework, parity: Callable[..., Ended], *mistake: str) -> tuple[Path, Path]:
    """The step as the framework takes it, and as torch does."""
    ours, theirs = Path("torch.safetensors"), Path(f"from_{framework.name}.safetensors")
    ended = parity(
        "record", *CASE.split(), *LOSS.split(), *framework.options.split(), "--out", str(ours)
    )
    assert ended.status == 0, ended.err
    script = EXAMPLES / f"trace_from_{framework.name}" / "write_trace.py"
    command = [sys.executable, script, ours, theirs, *mistake]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return theirs, ours


@pytest.mark.parametrize("framework", INSTALLED)
def test_a_right_step_passes(framework: Framework, parity: Callable[..., Ended]) -> None:
    report = diff(*files(framework, parity))
    assert report.passed, str(report)
    assert len(report.judgement.differences) == framework.tensors


@pytest.mark.parametrize("framework", INSTALLED)
def test_a_mistake_is_named(framework: Framework, parity: Callable[..., Ended]) -> None:
    report = diff(*files(framework, parity, framework.mistake))
    assert not report.passed
    called = f"from_{framework.name}"
    assert report.short.startswith(f"FAIL First wrong: {called}'s {framework.first}")
    assert f"{called}: {framework.cause}" in report.short
    assert f"{called} is wrong, torch is right" in str(report)
