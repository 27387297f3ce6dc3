"""Degenerate batches, nan and infinities, tensors that cannot be read, models that raise: one clear
error or UNJUDGED; never a crash of ours, never a PASS of what was not compared."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.small_models import Applied, linear, returning, squares, x_of
from torch_parity.compare.aten.check import check_model, check_modules
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.errors import InputError

NAN, INF = float("nan"), float("inf")


def twins(module: nn.Module, *inputs: Any, **options: Any) -> ModulesReport:
    return check_modules(module, copy.deepcopy(module), *inputs, **options)


# --- batches without samples, without features, of one number


@pytest.mark.parametrize("reduce", [Tensor.sum, Tensor.mean, None])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.LayerNorm(5), (0, 5)),
        (lambda: nn.Linear(5, 3), (0, 5)),
        (lambda: nn.Conv2d(2, 3, 3), (0, 2, 5, 5)),
        (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (0, 3, 4)),
    ],
)
def test_a_batch_without_samples_shows_nothing(
    make: Callable[[], nn.Module], shape: tuple[int, ...], reduce: Any
) -> None:
    report = twins(make(), torch.empty(shape), loss=reduce)
    assert report.outcome == "UNJUDGED", str(report)
    assert report.unjudged[0].end.name == "output"


def test_empty_outputs_of_other_shapes_fail() -> None:
    assert check_modules(nn.Linear(5, 3), nn.Linear(5, 4), torch.empty(0, 5)).outcome == "FAIL"


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: nn.Linear(5, 3), torch.ones(1, 5)),
        (lambda: nn.Linear(5, 3), torch.ones(5)),
        (lambda: nn.Linear(5, 3), torch.zeros(4, 5)),
        (lambda: nn.Linear(5, 3), torch.full((4, 5), 1e-40)),
        (lambda: nn.Linear(0, 3), torch.empty(4, 0)),
        (lambda: nn.Sequential(nn.Linear(5, 1), nn.Softmax(1)), x_of()),
    ],
)
def test_degenerate_numbers_pass(make: Callable[[], nn.Module], x: Tensor) -> None:
    report = twins(make(), x, loss=squares)
    assert report.outcome == "PASS", str(report)


def test_a_model_that_hands_on_its_input_passes() -> None:
    assert check_modules(nn.Identity(), nn.Dropout(0.0).eval(), x_of()).outcome == "PASS"


# --- nan and infinities

OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sign": torch.sign, "abs": torch.abs, "clamp": lambda z: z.clamp(0, 1), "relu": F.relu,
    "sort": lambda z: z.sort(1)[0], "max": lambda z: z.max(), "pow": lambda z: z.pow(1.5),
    "where": lambda z: torch.where(z > 0, z, 0), "softmax": lambda z: z.softmax(1),
    "cumsum": lambda z: z.cumsum(1), "log": torch.log, "gelu": F.gelu, "relu6": F.relu6,
    "elu": F.elu, "hardtanh": F.hardtanh, "nansum": lambda z: z.nansum(1), "logit": torch.logit,
    "var": lambda z: torch.var_mean(z)[0], "layer norm": lambda z: F.layer_norm(z, (5,)),
    "max pool": lambda z: F.max_pool1d(z[None], 2), "product": lambda z: z @ z.T,
    "LP pool": lambda z: F.lp_pool1d(-z[None].abs(), 1.5, 2), "sgn": torch.sgn,
    "atan2": lambda z: torch.atan2(z, z.flip(0)), "nan_to_num": torch.nan_to_num,
}  # fmt: skip


@pytest.mark.parametrize("number", [NAN, INF, -INF])
@pytest.mark.parametrize("name", OPERATIONS)
def test_identical_models_never_fail_on_nan_and_infinities(name: str, number: float) -> None:
    x = x_of()
    x[1, 2] = number
    f = OPERATIONS[name]
    report = twins(Applied(lambda _, z: f(z)), x.requires_grad_(), loss=lambda out: out.sum())
    assert report.outcome in ("PASS", "UNJUDGED"), str(report)
    if number is NAN and name not in ("sign", "sgn", "where", "nan_to_num", "nansum"):
        assert report.outcome == "UNJUDGED"


SPOILED: list[Callable[[Tensor], Tensor]] = [
    lambda z: z * NAN,
    lambda z: z.masked_fill(torch.arange(3) == 1, NAN),
    lambda z: z / 0,
    lambda z: z.masked_fill(torch.arange(3) == 1, INF),
]


@pytest.mark.parametrize("i", range(len(SPOILED)))
def test_nan_and_infinities_on_one_side_fail(i: int) -> None:
    right, wrong = returning(lambda z: z), returning(SPOILED[i])
    assert check_modules(right, wrong, x_of()).outcome == "FAIL"
    assert check_modules(wrong, right, x_of()).outcome == "FAIL"


def test_infinities_of_another_sign_fail() -> None:
    a, b = returning(lambda z: z / 0), returning(lambda z: -z / 0)
    assert check_modules(a, b, x_of()).outcome == "FAIL"


def test_a_gradient_that_is_nan_on_one_side_fails() -> None:
    def spoiled(z: Tensor) -> Tensor:
        z.register_hook(lambda gradient: gradient * NAN)
        return z

    report = check_modules(returning(lambda z: z), returning(spoiled), x_of(), loss=squares)
    assert report.outcome == "FAIL"


# --- lazy modules


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.LazyLinear(3), (4, 5)),
        (lambda: nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(2)), (4, 5)),
        (lambda: nn.LazyConv2d(3, 3), (2, 4, 5, 5)),
        (lambda: nn.LazyBatchNorm1d(), (4, 5)),
    ],
)
def test_lazy_modules_are_judged_and_stay_lazy(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    a, b = make(), make()
    report = check_modules(a, b, x_of(*shape), loss=squares)
    assert report.outcome == "PASS", str(report)
    assert check_model(a, x_of(*shape), loss=squares).outcome == "PASS"
    for module in (a, b):
        tensors = [*module.parameters(), *module.buffers()]
        assert any(nn.parameter.is_lazy(t) for t in tensors), "left as it was"


def test_lazy_modules_of_another_size_fail() -> None:
    assert check_modules(nn.LazyLinear(3), nn.LazyLinear(4), x_of()).outcome == "FAIL"


# --- tensors that cannot be read


def with_buffer(buffer: Tensor, f: Callable[..., Any]) -> Applied:
    module = Applied(f)
    module.register_buffer("extra", buffer)
    return module


UNREADABLE: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "sparse output": (lambda: returning(lambda z: z.to_sparse()), x_of),
    "sparse input": (
        lambda: Applied(lambda m, x: torch.sparse.mm(x, m.fc.weight.T)), lambda: x_of().to_sparse()
    ),
    "sparse rows": (
        lambda: Applied(lambda m, x: x @ m.fc.weight.T), lambda: x_of().to_sparse_csr()
    ),
    "sparse buffer": (
        lambda: with_buffer(
            torch.eye(4).to_sparse(), lambda m, x: torch.sparse.mm(m.extra, m.fc(x))
        ),
        x_of,
    ),
    "complex output": (lambda: returning(lambda z: z.detach().to(torch.complex32)), x_of),
    "quantized": (
        lambda: returning(lambda z: torch.quantize_per_tensor(z.detach(), 0.1, 0, torch.qint8)),
        x_of,
    ),
    "float8": (lambda: returning(lambda z: z.detach().to(torch.float8_e4m3fn)), x_of),
    "float8 inside": (
        lambda: returning(lambda z: z.detach().to(torch.float8_e4m3fn).float()), x_of
    ),
    "meta": (lambda: nn.Linear(5, 3, device="meta"), lambda: x_of().to("meta")),
    "nested": (
        lambda: nn.Linear(5, 3),
        lambda: torch.nested.nested_tensor([x_of(2, 5), x_of(3, 5)], layout=torch.jagged),
    ),
    "mkldnn": (lambda: returning(lambda z: z.detach().to_mkldnn()), x_of),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", UNREADABLE)
def test_tensors_that_cannot_be_read_are_unjudged(name: str) -> None:
    make, given = UNREADABLE[name]
    x = given()
    assert twins(make(), x).outcome == "UNJUDGED"
    assert check_model(make(), x).outcome == "UNJUDGED"


@pytest.mark.parametrize(
    "wrong", [lambda z: (2 * z).to_sparse(), lambda z: z, lambda z: torch.complex(z, z)]
)
def test_a_difference_that_cannot_be_read_is_no_pass(wrong: Callable[[Tensor], Tensor]) -> None:
    right = returning(lambda z: z.to_sparse())
    assert check_modules(right, returning(wrong), x_of()).outcome != "PASS"


def test_gradients_that_are_sparse_are_unjudged() -> None:
    embedding = nn.Embedding(5, 3, sparse=True)
    report = twins(embedding, torch.tensor([1, 2]), loss=squares)
    assert report.outcome == "UNJUDGED"
    assert [e.end.name for e in report.unjudged] == ["weight.grad"]


# --- one clear error


class Raising(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise ValueError("no backward")


def refuse(*_: Any) -> Any:
    raise KeyError("refused")


def hooked(z: Tensor) -> Tensor:
    z.register_hook(refuse)
    return z


ERRORS: dict[str, tuple[Callable[[], Any], tuple[Any, ...], Any, str]] = {
    "forward raises": (lambda: Applied(refuse), (x_of(),), None, "the forward of a raised KeyErr"),
    "StopIteration": (
        lambda: Applied(lambda *_: next(iter([]))), (x_of(),), None, "raised StopIteration"
    ),
    "backward raises": (
        lambda: returning(lambda z: Raising.apply(z)), (x_of(),), squares, "the backward of a"
    ),
    "hook raises": (lambda: returning(hooked), (x_of(),), squares, "the backward of a"),
    "returns nothing": (lambda: returning(lambda z: None), (x_of(),), None, "returned nothing"),
    "returns no tensor": (lambda: returning(lambda z: ()), (x_of(),), None, "returned nothing"),
    "wrong shape": (lambda: nn.Linear(5, 3), (x_of(4, 6),), None, "the forward of a"),
    "no input": (lambda: nn.Linear(5, 3), (), None, "the forward of a raised TypeError"),
    "array": (lambda: nn.Linear(5, 3), (x_of().numpy(),), None, "the forward of a"),
    "on meta": (lambda: nn.Linear(5, 3), (x_of().to("meta"),), None, "the forward of a"),
    "model on meta": (lambda: nn.Linear(5, 3, device="meta"), (x_of(),), None, "the forward of"),
    "one sample": (lambda: nn.BatchNorm1d(5), (x_of(1, 5),), None, "the forward of a"),
    "no module": (lambda: 3, (x_of(),), None, "the forward of a"),
    "loss raises": (lambda: nn.Linear(5, 3), (x_of(),), refuse, "the loss of a raised KeyError"),
    "loss is no function": (lambda: nn.Linear(5, 3), (x_of(),), "mse", "the loss of a"),
    **{
        f"loss is {name}": (lambda: nn.Linear(5, 3), (x_of(),), loss, "one number|of a raised")
        for name, loss in {
            "a float": lambda out: 1.0, "None": lambda out: None, "a string": lambda out: "x",
            "a vector": lambda out: out, "no entry": lambda out: out[:0], "[]": lambda out: [],
            "an array": lambda out: out.detach().numpy().sum(),
            "a number and a float": lambda out: [out.sum(), 1.0],
            "complex": lambda out: torch.complex(out.sum(), out.sum()),
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_a_step_that_cannot_run_is_one_error(name: str) -> None:
    make, inputs, loss, message = ERRORS[name]
    with pytest.raises(InputError, match=message):
        check_modules(make(), make() if name != "no module" else 4, *inputs, loss=loss)


def test_one_optimizer_for_two_models_is_refused() -> None:
    a = nn.Linear(5, 3)
    sgd: Any = torch.optim.SGD(a.parameters(), 0.1)
    with pytest.raises(InputError, match="expected two"):
        twins(a, x_of(), loss=squares, optimizers=sgd)


def test_a_misspelt_option_is_explained() -> None:
    """It goes to the forward, like each keyword that is none of ours."""
    with pytest.raises(InputError, match="no option 'los' either; did you mean 'loss'"):
        twins(nn.Linear(5, 3), x_of(), los=squares)
    with pytest.raises(InputError, match="did you mean 'target'"):
        check_model(nn.Linear(5, 3), x_of(), targte=1)


def test_a_keyword_that_a_module_within_refuses_is_no_option_of_ours() -> None:
    def within(x: Tensor) -> Any:
        return nn.Linear(5, 3).forward(x, los=1)  # type: ignore[call-arg]

    with pytest.raises(InputError, match="raised TypeError") as raised:
        check_model(within, x_of())
    assert "option" not in str(raised.value)


@pytest.mark.parametrize("factor", [NAN, INF])
def test_a_loss_that_is_not_finite_is_unjudged(factor: float) -> None:
    report = twins(nn.Linear(5, 3), x_of(), loss=lambda out: out.sum() * factor)
    assert report.outcome != "FAIL"


def test_modules_may_share_weights() -> None:
    layer = nn.Linear(5, 3)
    a, b = nn.Sequential(layer), nn.Sequential(layer)
    assert check_modules(a, b, x_of(), loss=squares).outcome == "PASS"
    assert check_modules(a, linear(nn.Tanh()), x_of(), loss=squares).outcome == "FAIL"
