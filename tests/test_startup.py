"""What a command does not import, since it takes long: torch's compiler, scikit-learn, SciPy."""

import subprocess
import sys
from pathlib import Path

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
stand_in, compiling = torch._dynamo, []
for disable in (torch.compiler.disable, stand_in.disable):
    noted = disable(lambda x: compiling.append(torch.compiler.is_compiling()) or x)
    torch.compile(lambda x: noted(x) + 1, backend="eager")(torch.ones(1))
assert compiling == [False, False], "what a user disables is compiled"
torch._dynamo.reset()
torch._dynamo.utils.counters.clear()
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


OWN_CODE = """
import torch
import torch._dynamo.config as config
from torch._dynamo import eval_frame
assert config is torch._dynamo.config is eval_frame.config
assert torch._dynamo.__file__
disabled = torch.optim.Optimizer.zero_grad.__wrapped__
torch.optim.SGD([torch.ones(1, requires_grad=True)]).zero_grad()
assert disabled.__dynamo_disable is not disabled
net = lambda: torch.nn.Linear(2, 1)
"""


def test_own_code_meets_the_compiler_itself(tmp_path: Path) -> None:
    """Also where the stand-in has been asked before."""
    (tmp_path / "own.py").write_text(OWN_CODE)
    program = f"""
from torch_parity.compare.late_compiler import import_compiler_late
import_compiler_late()
import torch
torch.optim.SGD([torch.ones(1, requires_grad=True)]).zero_grad()
from torch_parity.compare.commands.user_file import made_by
made_by({str(tmp_path / "own.py:net")!r}, 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
