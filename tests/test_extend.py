"""A new operation is one file a side and one row; a new model is one file a side.

The files are written into a folder of their own, and everything else takes them from the row: the
pair, torch modules, trace files, gradient checks, the table in the docs, causes.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from book.page import Page, render
from torch_parity import Case, check, check_gradient, check_modules, given, manual
from torch_parity.compare import data, models, register
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.cli import parity
from torch_parity.compare.commands.diff import diff
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.register.row import Operation
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.files.trace_file import load, save
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.torch_ref.operations import ADDED

BY_HAND = '''
"""A ReLU without its kink."""

import numpy as np

from torch_parity.manual.operations import find
from torch_parity.manual.recording import operation


@operation
def smooth_relu(z: np.ndarray, *, beta: float = 1.0) -> np.ndarray:
    """a = log(1 + e^(beta z)) / beta"""
    positive = z.real > 0
    small = np.log1p(np.exp(beta * np.where(positive, -z, z)))
    return np.where(positive, z, 0) + small / beta


def smooth_relu_backward(da: np.ndarray, z: np.ndarray, *, beta: float = 1.0) -> np.ndarray:
    """dz = da * sigmoid(beta z)"""
    sigmoid, _ = find("sigmoid")
    return da * sigmoid(beta * z)
'''
IN_TORCH = """
from torch import nn


class MySmoothRelu(nn.Softplus):
    pass


def smooth_relu(beta=1.0):
    return MySmoothRelu(beta)
"""
MODEL_BY_HAND = '''
"""Two branches that are added: y = W2 g(x W1) + W3 x."""

from dataclasses import dataclass
from typing import ClassVar

from torch_parity import manual
from torch_parity.manual import MODULE_PATHS
from torch_parity.manual.models.step import example_labels, gradients_of_the_cost
from torch_parity.manual.operations import find


@dataclass(frozen=True)
class Wide:
    sizes: tuple
    activation: str = "smooth_relu"
    loss: str = "cross_entropy"
    reduction: str = "mean"
    l1: float = 0.0
    l2: float = 0.0
    m: int = 1
    names: ClassVar = MODULE_PATHS
    result: ClassVar = "output"

    def shapes(self):
        n_in, n, n_out = self.sizes
        shapes = {}
        for name, shape in {"deep": (n, n_in), "head": (n_out, n), "wide": (n_out, n_in)}.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        return shapes

    def shapes_of_masks(self, samples):
        return {}

    def example(self, rng, samples):
        y = example_labels(self.loss, rng, samples, self.sizes[-1])
        return rng.random((samples, self.sizes[0])), y

    def forward(self, p, x, masks):
        g, _ = find(self.activation)
        t = {"input": manual.identity(x)}
        for name, read in (("deep", "input"), ("wide", "input")):
            t[name] = manual.linear(t[read], p[f"{name}.weight"], p[f"{name}.bias"])
        t["act"] = g(t["deep"])
        t["head"] = manual.linear(t["act"], p["head.weight"], p["head.bias"])
        t["sum"] = t["head"] + t["wide"]
        t["output"] = manual.identity(t["sum"])
        return t

    def backward(self, p, t, y, masks):
        g = {}
        _, loss_backward = find(self.loss)
        _, g_backward = find(self.activation)
        g["output"] = loss_backward(t["output"], y, reduction=self.reduction)
        g["sum"] = manual.identity_backward(g["output"], t["sum"])
        g["head"], g["wide"] = manual.add_backward(g["sum"], t["head"], t["wide"])
        g["act"], g["head.weight"], g["head.bias"] = manual.linear_backward(
            g["head"], t["act"], p["head.weight"]
        )
        g["deep"] = g_backward(g["act"], t["deep"])
        for name in ("deep", "wide"):
            _, g[f"{name}.weight"], g[f"{name}.bias"] = manual.linear_backward(
                g[name], t["input"], p[f"{name}.weight"]
            )
        return gradients_of_the_cost(self, p, g)
'''
MODEL_IN_TORCH = """
from torch import nn

from torch_parity.torch_ref.operations import activation as activation_of


class Wide(nn.Module):
    def __init__(self, sizes, activation="smooth_relu"):
        super().__init__()
        n_in, n, n_out = sizes
        self.deep, self.act = nn.Linear(n_in, n), activation_of(activation)
        self.head, self.wide = nn.Linear(n, n_out), nn.Linear(n_in, n_out)
        self.output = nn.Identity()

    def forward(self, x):
        return self.output(self.head(self.act(self.deep(x))) + self.wide(x))
"""


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The four files, and one row each."""
    files = {
        "my_smooth_relu": BY_HAND,
        "my_torch_smooth_relu": IN_TORCH,
        "my_wide": MODEL_BY_HAND,
        "my_torch_wide": MODEL_IN_TORCH,
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = {name: importlib.import_module(name) for name in files}
    register.add(
        Operation(
            found["my_smooth_relu"].smooth_relu,
            "activation",
            lambda rng, dtype: {"z": rng.normal(0, 2, (6, 5)).astype(dtype)},
            ("z",),
            ("a",),
            ({"beta": 1.0}, {"beta": 0.4}),
            torch=found["my_torch_smooth_relu"].smooth_relu,
            module=found["my_torch_smooth_relu"].MySmoothRelu,
        )
    )
    models.add("wide", found["my_wide"].Wide, found["my_torch_wide"].Wide)
    yield found
    del register.OPERATIONS["smooth_relu"], ADDED["smooth_relu"], models.ADDED["wide"]
    for name in files:
        sys.modules.pop(name, None)


def step_of(case: Case) -> Recorded:
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    torch.manual_seed(case.seed)
    x, y = loaded.x_train[: case.batch], sides.targets.y_train[: case.batch]
    return record(sides, x, y, count=3)[-1]


OPTIONS: dict[str, Any] = {
    "data": "moons",
    "samples": 60,
    "batch": 12,
    "bias_scale": 0.5,
    "loss": "binary_cross_entropy_with_logits",
}


@pytest.mark.usefixtures("added")
class TestAdded:
    def test_in_the_pair(self) -> None:
        case = Case(activation="smooth_relu", hidden=(6, 5), **OPTIONS)
        for dtype in ("float64", "float32"):
            r = step_of(case.model_copy(update={"dtype": dtype}))
            j = judge(r.nodes, r.start, r.manual, r.torch, always_replay=True)
            assert j.passed, j.root
            judged = {x.name for x in j.replays["torch"] if x.operation.startswith("smooth_relu")}
            assert judged == {"a1", "a2", "dz1", "dz2"}

    def test_a_wrong_one_is_found(self) -> None:
        r = step_of(Case(activation="smooth_relu", hidden=(6,), p=0, **OPTIONS))
        start = {n: r.start[n] for n in r.start}
        wrong = {**r.manual, "dz1": r.manual["da1"] * (r.manual["z1"] > 0)}
        j = judge(r.nodes, start, wrong, r.torch, always_replay=True)
        assert j.root is not None
        assert (j.root.side, j.root.found.name) == ("manual", "dz1")
        assert j.root.witness == pytest.approx(j.root.other, rel=1e-12)

    def test_its_mistakes_are_named(self) -> None:
        r = step_of(Case(activation="smooth_relu", hidden=(6, 5), **OPTIONS))
        for side in ("manual", "torch"):
            for name in ("slope_missing", "activation_missing", "slope_of_another_activation"):
                known = r.known_to(side, 24)  # type: ignore[arg-type]
                rng = np.random.default_rng(3)
                planted = plant(CATALOGUE[name], r.nodes, known, r.manual, rng)
                assert planted is not None
                made = execute(planted, known, side)
                j = r.judge_instead(side, made, 24)  # type: ignore[arg-type]
                names = j.diagnoses[side].names  # type: ignore[index]
                assert frozenset({name}) in names, (side, name)

    def test_in_arrays_of_your_own(self) -> None:
        at = given(Case(activation="smooth_relu", hidden=(6,), p=0, **OPTIONS))
        z = at["x"] @ at["W1"].T + at["b1"]
        assert check({"z1": z, "a1": np.log1p(np.exp(z))}, at).passed
        assert not check({"z1": z, "a1": np.log1p(np.exp(z)) + 1e-9}, at).passed

    def test_in_a_module(self, added: dict[str, ModuleType]) -> None:
        smooth_relu = added["my_torch_smooth_relu"].MySmoothRelu

        def net(beta: float) -> torch.nn.Module:
            torch.manual_seed(1)
            layers = (torch.nn.Linear(4, 5), smooth_relu(beta), torch.nn.Linear(5, 2))
            return torch.nn.Sequential(*layers).double()

        x = torch.randn(7, 4, dtype=torch.float64)
        task: dict[str, Any] = {"loss": torch.nn.MSELoss(), "target": torch.ones(7, 2).double()}
        right = check_modules(net(0.4), net(0.4), x, **task)
        assert right.passed
        assert all(model.judged == model.calls for model in right.models)
        assert not check_modules(net(0.4), net(0.5), x, **task).passed

    def test_in_a_trace_file(self, tmp_path: Path) -> None:
        r = step_of(Case(activation="smooth_relu", hidden=(6,), **OPTIONS))
        paths = []
        for name, made in (("a", r.manual), ("b", r.torch)):
            paths.append(tmp_path / f"{name}.safetensors")
            save(paths[-1], Trace(r.start, made, r.nodes), {})
        nodes = load(paths[0]).nodes
        assert any(n.operation == "smooth_relu_backward" for n in nodes)
        assert diff(*paths).passed

    def test_in_the_gradient_checks(self, added: dict[str, ModuleType]) -> None:
        f = added["my_smooth_relu"]
        rng = np.random.default_rng(0)
        z, da = rng.normal(size=(2, 6, 5))
        assert check_gradient(f.smooth_relu, f.smooth_relu_backward, {"z": z}, da).passed
        r = step_of(Case(activation="smooth_relu", hidden=(6, 5), p=0, **OPTIONS))
        params = {n: r.start[n] for n in r.pair.params}
        at = (r.pair.manual.net, params, r.start["x"], r.start["y"], {})
        checked = manual.exact_check(*at, r.torch)
        assert checked.passed
        off = {**r.torch, "dW1": r.torch["dW1"] * (1 + 1e-9)}
        assert manual.exact_check(*at, off).wrong == ("W1",)

    def test_in_the_table_of_the_docs(self) -> None:
        page, _, _ = render(Page("docs/trace-format.md"))
        assert "| `smooth_relu` | z | a | beta |" in page
        assert "| `smooth_relu_backward` | da, z | dz | beta |" in page

    def test_the_model_is_judged_and_trained(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case = Case(model="wide", activation="smooth_relu", hidden=(6,), p=0, **OPTIONS)
        r = step_of(case)
        j = judge(r.nodes, r.start, r.manual, r.torch, always_replay=True)
        assert j.passed, j.root
        assert {"sum", "act.grad", "wide.weight.loss.grad"} <= {n.outputs[-1] for n in r.nodes} | {
            name for node in r.nodes for name in node.outputs
        }
        monkeypatch.chdir(tmp_path)
        words = ["train", "--model", "wide", "--activation", "smooth_relu", "--data", "moons",
                 "--hidden", "6", "--p", "0", "--steps", "10", "--name", "wide",
                 "--loss", "binary_cross_entropy_with_logits"]  # fmt: skip
        done = CliRunner().invoke(parity, words)
        assert done.exit_code == 0, done.output
        summary = json.loads((tmp_path / "runs/wide/summary.json").read_text())
        assert (summary["passed"], summary["steps"]) == (True, 10)


def test_a_row_that_does_not_fit_its_functions_is_refused(added: dict[str, ModuleType]) -> None:
    row = register.OPERATIONS["smooth_relu"]
    with pytest.raises(ValueError, match="has an operation 'smooth_relu' already"):
        register.add(row)
    with pytest.raises(ValueError, match="there is a model 'wide' already"):
        models.add("wide", manual.MLP, torch.nn.Module)
