"""Operators of torch.library.custom_op are judged as what their kernel computes; a backward that
was registered for one is held to the derivative of its kernel. What torch does not compute is
UNJUDGED."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.small_models import linear, returning, squares, x_of
from torch_parity.compare.aten.check import check_model, check_modules

op = torch.library.custom_op


@op("parity_tests::swish", mutates_args=())
def swish(x: Tensor, beta: float) -> Tensor:
    return x * torch.sigmoid(beta * x)


@op("parity_tests::swish_wrong", mutates_args=())
def swish_wrong(x: Tensor, beta: float) -> Tensor:
    return x * torch.sigmoid(beta * x)


def keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.beta = inputs[1]


def derivative(ctx: Any, upstream: Tensor) -> Any:
    (x,) = ctx.saved_tensors
    s = torch.sigmoid(ctx.beta * x)
    return upstream * (s + ctx.beta * x * s * (1 - s)), None


def without_beta(ctx: Any, upstream: Tensor) -> Any:
    (x,) = ctx.saved_tensors
    s = torch.sigmoid(ctx.beta * x)
    return upstream * (s + x * s * (1 - s)), None


swish.register_autograd(derivative, setup_context=keep)
swish_wrong.register_autograd(without_beta, setup_context=keep)


@op("parity_tests::by_rows", mutates_args=())
def by_rows(x: Tensor) -> Tensor:
    """softmax, written into a buffer row by row, as kernels are"""
    out = torch.empty_like(x)
    for i in range(len(x)):
        e = torch.exp(x[i] - x[i].amax(dim=0, keepdim=True))
        out[i] = e / e.sum()
    return out


def by_rows_keep(ctx: Any, inputs: Any, output: Tensor) -> None:
    ctx.save_for_backward(output)


def by_rows_backward(ctx: Any, upstream: Tensor) -> Tensor:
    (out,) = ctx.saved_tensors
    return out * (upstream - (upstream * out).sum(-1, keepdim=True))


by_rows.register_autograd(by_rows_backward, setup_context=by_rows_keep)


@op("parity_tests::in_place", mutates_args=("x",))
def in_place(x: Tensor) -> None:
    x.copy_(torch.tanh(x))


@op("parity_tests::nested", mutates_args=())
def nested(x: Tensor) -> Tensor:
    return swish(x, 1.0) + 1


@op("parity_tests::drawn", mutates_args=())
def drawn(x: Tensor) -> Tensor:
    return torch.tanh(x) * (torch.rand_like(x) > 0.3)


@op("parity_tests::several", mutates_args=())
def several(x: Tensor) -> list[Tensor]:
    return [torch.tanh(x), x.sum(0)]


def placed(f: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    def applied(x: Tensor) -> Tensor:
        x = x.clone()
        f(x)
        return x

    return applied


def after(f: Callable[[Tensor], Tensor], scale: float = 1.0) -> nn.Module:
    """The same weights each time; nothing before f is trained."""
    return returning(lambda z: f(z.detach()) * scale)


RIGHT: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "in place": (torch.tanh, placed(in_place)),
    "nested": (lambda x: F.silu(x) + 1, nested),
    "drawn": (lambda x: torch.tanh(x) * (torch.rand_like(x) > 0.3), drawn),
    "several": (torch.tanh, lambda x: several(x)[0]),
    "rows": (lambda x: x.softmax(-1), by_rows),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_kernel_computes_is_compared(name: str) -> None:
    plain, custom = RIGHT[name]
    assert check_model(after(custom), x_of(), loss=squares).outcome == "PASS"
    right = check_modules(after(plain), after(custom), x_of(), loss=squares)
    assert right.outcome == "PASS", right.verdict
    wrong = check_modules(after(plain), after(custom, 1.0001), x_of(), loss=squares)
    assert wrong.outcome == "FAIL"


def test_a_registered_backward_is_held_to_its_kernel() -> None:
    def plain(x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.5 * x)

    def model(f: Callable[..., Tensor]) -> nn.Module:
        return returning(lambda x: f(x, 1.5))

    assert check_model(model(swish), x_of(), loss=squares).outcome == "PASS"
    assert check_modules(returning(plain), model(swish), x_of(), loss=squares).outcome == "PASS"
    alone = check_model(model(swish_wrong), x_of(), loss=squares)
    assert alone.outcome == "FAIL"
    assert [f.outcome for f in alone.functions] == ["wrong"]
    pair = check_modules(returning(plain), model(swish_wrong), x_of(), loss=squares)
    assert pair.outcome == "FAIL"


def test_a_backward_of_a_kernel_that_fills_a_buffer() -> None:
    """Its forward is computed again with autograd, which cannot follow writes into rows."""
    plain, custom = (returning(f) for f in (lambda x: x.softmax(-1), by_rows))
    assert check_model(custom, x_of(), loss=squares).outcome == "PASS"
    assert check_modules(plain, custom, x_of(), loss=squares).outcome == "PASS"


class Filled(torch.autograd.Function):
    """x^3 in the first column, 2 x in the others; `wrong` is added to the slope."""

    wrong = 0.0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        out = torch.zeros_like(x)
        out[:, 0] = x[:, 0] ** 3
        out[:, 1:].add_(x[:, 1:], alpha=2)
        return out

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        slope = torch.full_like(x, 2.0)
        slope[:, 0] = 3 * x[:, 0] ** 2 + Filled.wrong
        return upstream * slope


@pytest.fixture
def wrong_slope() -> Iterator[None]:
    Filled.wrong = 1e-3
    yield
    Filled.wrong = 0.0


def filled() -> nn.Module:
    return returning(lambda x: Filled.apply(x))


def test_a_function_that_fills_a_buffer_is_judged() -> None:
    report = check_model(filled(), x_of(), loss=squares)
    assert [f.outcome for f in report.functions] == ["right"], report.verdict


@pytest.mark.usefixtures("wrong_slope")
def test_a_wrong_slope_of_a_function_that_fills_a_buffer_is_seen() -> None:
    report = check_model(filled(), x_of(), loss=squares)
    assert [f.outcome for f in report.functions] == ["wrong"], report.verdict


# --- what another library computes


@op("parity_tests::from_numpy", mutates_args=())
def from_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.tanh(x.numpy()))


@op("parity_tests::into_zeros", mutates_args=())
def into_zeros(x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out.numpy()[...] = np.tanh(x.numpy())
    return out


@op("parity_tests::into_buffer", mutates_args=())
def into_buffer(x: Tensor) -> Tensor:
    buffer = torch.empty_like(x)
    buffer.numpy()[...] = np.tanh(x.numpy())
    return buffer * 1


@op("parity_tests::into_argument", mutates_args=("x",))
def into_argument(x: Tensor) -> None:
    x.numpy()[...] = np.tanh(x.numpy())


@pytest.mark.parametrize(
    "custom", [from_numpy, into_zeros, into_buffer, placed(into_argument)], ids=range(4)
)
def test_what_numpy_computes_in_a_kernel_is_not_judged(custom: Callable[[Tensor], Tensor]) -> None:
    alone = check_model(after(custom), x_of(), loss=squares)
    assert alone.outcome == "UNJUDGED"
    assert "parity_tests::" in alone.verdict
    pair = check_modules(after(torch.tanh), after(custom), x_of(), loss=squares)
    assert pair.outcome == "UNJUDGED"
    far = check_modules(after(torch.tanh), after(custom, 1.01), x_of(), loss=squares)
    assert far.outcome != "PASS"


# --- torch's own custom operator


class Chunked(nn.Module):
    def __init__(self, reduction: str, scale: float, chunked: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body, self.head = nn.Linear(5, 4), nn.Linear(4, 7)
        self.class_weight = torch.rand(7)
        self.reduction, self.scale, self.chunked = reduction, scale, chunked

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.body(x) * self.scale
        options = {"weight": self.class_weight, "ignore_index": 2, "reduction": self.reduction}
        if not self.chunked:
            return F.cross_entropy(self.head(h), y, **options)  # type: ignore[arg-type]
        kind = torch.nn.modules.linear_cross_entropy_options.LinearCrossEntropyOptions
        return F.linear_cross_entropy(
            h, self.head.weight, y, linear_bias=self.head.bias, options=kind(), **options
        )


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="a torch without it")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_chunked_cross_entropy(reduction: str) -> None:
    x, y = x_of(16, 5), torch.arange(16) % 7
    plain = Chunked(reduction, 1.0, chunked=False)
    for scale, outcome in ((1.0, "PASS"), (1.0001, "FAIL")):
        report = check_modules(plain, Chunked(reduction, scale, chunked=True), x, y, loss=squares)
        assert report.outcome == outcome, report.verdict


def test_a_kernel_that_raises_is_one_error() -> None:
    @op("parity_tests::refuses", mutates_args=())
    def refuses(x: Tensor) -> Tensor:
        raise KeyError("no such row")

    with pytest.raises(ValueError, match="the forward of the model raised KeyError"):
        check_model(returning(refuses), x_of())
    assert check_model(linear(nn.Tanh()), x_of()).outcome == "PASS", "the recorder is off again"
