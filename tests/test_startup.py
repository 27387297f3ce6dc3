"""What a command does not import, since it takes long: torch's compiler, scikit-learn, SciPy."""

import subprocess
import sys

import pytest

CHECK = """
import sys
from torch_parity.compare.start import main
sys.argv = ["parity", "check", "--data", {data!r}, "--steps", "1", "--json"]
try:
    main()
except SystemExit as end:
    assert end.code == 0
slow = {{"torch._dynamo.eval_frame", "sympy", "sklearn", "scipy", "matplotlib", "tensorboard"}}
print("imported:", *sorted(slow & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("data", ["moons", "digits"])
def test_a_check_imports_what_it_needs(data: str) -> None:
    run = [sys.executable, "-c", CHECK.format(data=data)]
    came = subprocess.run(run, capture_output=True, text=True, check=True)
    assert came.stderr.splitlines()[-1] == "imported:", came.stderr


COMPILED = """
from torch_parity.compare.late_compiler import LateCompiler, import_compiler_late
import_compiler_late()
import sys, torch
layer = torch.nn.Linear(2, 1)
optimizer = torch.optim.Adam(layer.parameters())
layer(torch.ones(3, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad()
assert isinstance(sys.modules["torch._dynamo"], LateCompiler)
doubled = torch.compile(lambda x: 2 * x, backend="eager")
assert doubled(torch.ones(1)).item() == 2
import torch._dynamo.utils
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
assert sys.modules["torch._dynamo"] is torch._dynamo and torch._dynamo.__file__
disabled = torch.optim.Optimizer.zero_grad.__wrapped__.__dynamo_disable
assert disabled is not torch.optim.Optimizer.zero_grad.__wrapped__
optimizer.zero_grad()
optimizer.step()
"""


def test_the_compiler_comes_when_it_is_needed() -> None:
    """And is told what must not be compiled, as if it had been there from the start."""
    subprocess.run([sys.executable, "-c", COMPILED], check=True)
