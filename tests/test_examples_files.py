"""The examples of traces from elsewhere, as a reader runs them: a C program, a plain script."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from torch_parity.compare.commands.diff import diff
from torch_parity.compare.sources.files.trace_file import TraceFile, load, save
from torch_parity.torch_ref.losses.binary_cross_entropy import binary_cross_entropy

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPT = EXAMPLES / "trace_from_script" / "write_trace.py"
COMPILER = shutil.which("cc") or shutil.which("gcc")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler here")
FromC = Callable[..., Path]


@pytest.fixture
def from_script(tmp_path: Path) -> Path:
    path = tmp_path / "from_script.safetensors"
    subprocess.run([sys.executable, "-I", SCRIPT, path], check=True)
    return path


@pytest.fixture
def from_c(tmp_path: Path) -> FromC:
    """Compiles the program, strictly, and runs it."""

    def write(*flags: str) -> Path:
        source, program = EXAMPLES / "trace_from_c" / "write_trace.c", tmp_path / "write_trace"
        strict = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
        assert COMPILER is not None
        subprocess.run([COMPILER, *strict, *flags, "-o", program, source, "-lm"], check=True)
        path = tmp_path / "from_c.safetensors"
        subprocess.run([program, path], check=True)
        return path

    return write


def by_torch(given: TraceFile) -> dict[str, np.ndarray]:
    """The same step by nn.functional and autograd, from the numbers in the file."""
    t = {name: torch.tensor(a) for name, a in given.given.items()}
    params = [t[name].requires_grad_() for name in ("W1", "b1", "W2", "b2")]
    W1, b1, W2, b2 = params
    z1 = torch.nn.functional.linear(t["x"], W1, b1)
    a1 = torch.tanh(z1)
    z2 = torch.nn.functional.linear(a1, W2, b2)
    a2 = torch.sigmoid(z2)
    loss = binary_cross_entropy("mean")(a2, t["y"])
    made = {"z1": z1, "a1": a1, "z2": z2, "a2": a2}
    for tensor in made.values():
        tensor.retain_grad()
    loss.backward()
    made |= {"loss": loss, **{f"d{name}": made[name].grad for name in made}}
    for name, p in zip(("W1", "b1", "W2", "b2"), params, strict=True):
        made |= {f"d{name}": p.grad, name: p.detach() - 0.5 * p.grad}
    return {name: made[name].detach().numpy() for name in given.made}


def test_the_script_imports_nothing_of_this_project() -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(SCRIPT.read_text("utf-8")))
        for name in (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {"json", "struct", "sys", "numpy"}


def test_the_script_agrees_with_torch(from_script: Path, tmp_path: Path) -> None:
    file = load(from_script)
    save(tmp_path / "torch.safetensors", replace(file, made=by_torch(file)), {})
    report = diff(from_script, tmp_path / "torch.safetensors")
    assert report.passed, str(report)
    assert all(len(r) == len(file.made) for r in report.judgement.replays.values())


@needs_compiler
def test_c_agrees_with_the_script(from_c: FromC, from_script: Path) -> None:
    report = diff(from_c(), from_script)
    assert report.passed, str(report)
    assert report.called == ("from_c", "from_script")
    assert len(report.judgement.replays["manual"]) == 17


@needs_compiler
@pytest.mark.parametrize(
    ("mistake", "first", "cause"),
    [
        (1, "from_c's tanh_backward -> dz1", "slope_at_the_wrong_place"),
        (2, "from_c's binary_cross_entropy_backward -> da2", "gradient_not_averaged"),
    ],
)
def test_a_mistake_in_c_is_named(
    mistake: int, first: str, cause: str, from_c: FromC, from_script: Path
) -> None:
    report = diff(from_c(f"-DMISTAKE={mistake}"), from_script)
    assert not report.passed
    assert report.short.startswith(f"FAIL First wrong: {first}")
    assert f"from_c: {cause}" in report.short
    assert "from_c is wrong, from_script is right." in str(report)
