"""Eager models against compiled ones: a right compile passes, a wrong one fails, and what cannot be
seen is said."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.small_models import SEED, squares, x_of
from torch_parity.compare.aten.check import check_model, check_modules
from torch_parity.compare.aten.pair_report import ModulesReport

# Warnings of torch's own compiler about torch's own code.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The .grad attribute", "ignore::DeprecationWarning:torch"
)
BACKENDS = [
    "eager",
    "aot_eager",
    pytest.param(
        "inductor",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler"),
        ],
    ),
]


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def net(activation: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(SEED)
    middle = [nn.LayerNorm(6), nn.BatchNorm1d(6), activation or nn.GELU()]
    return nn.Sequential(nn.Linear(5, 6), *middle, nn.Linear(6, 3))


class Around(nn.Module):
    """A compiled model inside an eager one."""

    def __init__(self, inside: Any) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.head, self.inside = nn.Linear(3, 2), inside

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.inside(x).tanh())
        return out


class Broken(nn.Module):
    """Its graph is broken once."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x: Tensor) -> Tensor:
        z = self.net[0](x)
        torch._dynamo.graph_break()
        out: Tensor = self.net[1:](z)
        return out


def compiled(model: Any, backend: Any) -> Any:
    return torch.compile(model, backend=backend)


def against(a: Any, b: Any, **options: Any) -> ModulesReport:
    return check_modules(a, b, x_of(), **{"loss": squares} | options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_right_compile_passes_and_a_wrong_one_fails(backend: str) -> None:
    """Output, loss, gradients, running statistics; from either side."""
    report = against(net(), compiled(net(), backend))
    assert report.outcome == "PASS", str(report)
    assert len(report.alignment.ends) == 2 + 8 + 3
    assert report.models[1].record.compiled == 1
    assert report.models[1].record.graphs == 1
    wrong = compiled(net(nn.GELU("tanh")), backend)
    assert against(net(), wrong).outcome == "FAIL"
    assert against(wrong, net()).outcome == "FAIL"


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_update_of_a_compiled_model(backend: str) -> None:
    a, b = net(), compiled(net(), backend)
    optimizers = tuple(torch.optim.AdamW(m.parameters(), 0.01) for m in (a, b))
    assert against(a, b, optimizers=optimizers).outcome == "PASS"


@pytest.mark.every(2)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_part_of_a_model(backend: str) -> None:
    report = against(Around(net()), Around(compiled(net(), backend)))
    assert report.outcome == "PASS", str(report)
    report = against(Around(net()), Around(compiled(net(nn.SiLU()), backend)))
    assert report.outcome == "FAIL"
    assert report.call is not None


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_module_that_is_compiled_in_place(backend: str) -> None:
    a, b, wrong = net(), net(), net(nn.Tanh())
    b.compile(backend=backend)
    wrong.compile(backend=backend)
    before = b._compiled_call_impl
    assert against(a, b).outcome == "PASS"
    assert against(a, wrong).outcome == "FAIL"
    assert b._compiled_call_impl is before, "put back"


def test_graph_breaks_are_said() -> None:
    report = against(Broken(), compiled(Broken(), "eager"))
    assert report.outcome == "PASS", str(report)
    record = report.models[1].record
    assert (record.graphs, record.graph_breaks) == (2, 1)
    assert "graph breaks: 1" in report.verdict


def with_other_eps(graph: Any, inputs: Any) -> Callable[..., Any]:
    """A backend that changes a constant of the graph."""
    for node in graph.graph.nodes:
        if node.target is nn.functional.layer_norm:
            node.args = tuple(1e-4 if isinstance(a, float) else a for a in node.args)
    graph.recompile()
    return graph.forward  # type: ignore[no-any-return]


def wrong_in_float32(graph: Any, inputs: Any) -> Callable[..., Any]:
    """A backend whose kernels for float32 alone are wrong."""

    def run(*given: Any) -> Any:
        out = graph.forward(*given)
        return tuple(t * 1.001 if t.dtype == torch.float32 else t for t in out)

    return run


@pytest.mark.parametrize("backend", [with_other_eps, wrong_in_float32])
def test_a_wrong_backend_fails(backend: Any) -> None:
    assert against(net(), compiled(net(), backend)).outcome == "FAIL", f"seed {SEED}"
    assert against(net(), compiled(net(), backend), loss=None).outcome == "FAIL"


def test_given_weights_of_a_compiled_model() -> None:
    other = net()
    with torch.no_grad():
        other[0].bias += 1e-3
    report = against(net(), compiled(other, "eager"))
    assert report.outcome == "FAIL"


def test_a_compiled_model_alone_is_unjudged() -> None:
    report = check_model(compiled(net(), "eager"), x_of(), loss=squares)
    assert report.outcome == "UNJUDGED"
    assert not report.unjudged, "what was recorded is right"


def test_two_compiled_models_are_equal_or_unjudged() -> None:
    report = against(compiled(net(), "aot_eager"), compiled(net(), "aot_eager"))
    assert report.outcome in ("PASS", "UNJUDGED")
    report = against(compiled(net(), "eager"), compiled(net(nn.SiLU()), "eager"))
    assert report.outcome != "PASS"


def test_a_compiled_function() -> None:
    def right(x: Tensor) -> Tensor:
        return x.tanh() * 2

    assert against(right, compiled(right, "aot_eager")).outcome == "PASS"
    wrong = compiled(lambda x: x.tanh() * 2.001, "aot_eager")
    assert against(right, wrong).outcome == "FAIL"


def test_a_compiled_function_inside_a_model_is_never_a_pass() -> None:
    """torch runs its eager form while a recorder is on."""
    double = compiled(lambda x: x * 2.5, with_other_eps)
    report = against(lambda x: x.tanh() * 2.5, lambda x: double(x.tanh()))
    assert report.outcome == "UNJUDGED", str(report)
    assert report.models[1].record.eager_instead


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_random_numbers_of_compiled_code_are_unjudged() -> None:
    dropping = lambda: net(nn.Dropout(0.5))  # noqa: E731
    report = against(dropping(), compiled(dropping(), "inductor"))
    assert report.outcome == "UNJUDGED", str(report)


def test_the_models_are_as_they_were() -> None:
    model = compiled(net(), "eager")
    before = {name: t.clone() for name, t in model.state_dict().items()}
    forward = model.forward
    against(net(), model)
    assert model.forward is forward
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
