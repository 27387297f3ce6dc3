"""Custom autograd Functions with right and wrong backward passes: which are called wrong?

    python -m benchmarks.torch_models.own_functions

Each function is a formula with its derivative written by hand, of a random shape and random
numbers, in the middle of a small model. A wrong backward has one of its own mistakes, or one that
any may have.
"""

import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import click
import torch
from torch import Tensor, nn

from benchmarks.torch_models.results import keep, one_thread
from torch_parity.compare.aten.check import check_model
from torch_parity.compare.aten.report import ModelReport

Gradients = tuple[Tensor, ...]
Backward = Callable[..., Gradients]


@dataclass(frozen=True)
class Formula:
    """forward(x, ...) and backward(grad, x, ...), which gives a gradient for each tensor; slips are
    wrong backwards. sizes are the shapes of the tensors after x, from x's last dimension n."""

    forward: Callable[..., Tensor]
    backward: Backward
    slips: tuple[Backward, ...]
    sizes: tuple[Callable[[int], tuple[int, ...]], ...] = ()


def one(derivative: Callable[[Tensor], Tensor]) -> Backward:
    """The backward of a function of each entry."""
    return lambda g, x: (g * derivative(x),)


def of_softmax(g: Tensor, x: Tensor) -> Gradients:
    y = x.softmax(-1)
    return (y * (g - (g * y).sum(-1, keepdim=True)),)


def of_norm(g: Tensor, x: Tensor) -> Gradients:
    y, root = normalized(x)
    return (root * (g - g.mean(-1, keepdim=True) - y * (g * y).mean(-1, keepdim=True)),)


def normalized(x: Tensor) -> tuple[Tensor, Tensor]:
    centred = x - x.mean(-1, keepdim=True)
    root = (centred.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
    return centred * root, root


def of_rms(g: Tensor, x: Tensor, w: Tensor) -> Gradients:
    root = (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
    y, h = x * root, g * w
    return root * (h - y * (h * y).mean(-1, keepdim=True)), (g * y).sum(0)


def sigmoid_slope(x: Tensor) -> Tensor:
    return x.sigmoid() * (1 - x.sigmoid())


def swish_slope(x: Tensor) -> Tensor:
    return x.sigmoid() + x * sigmoid_slope(x)


def normal(x: Tensor) -> Tensor:
    return (-0.5 * x.square()).exp() / 2.5066282746310002


def below(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x * 0.7071067811865476))


FORMULAS: dict[str, Formula] = {
    "sigmoid": Formula(torch.sigmoid, one(sigmoid_slope), (one(torch.sigmoid),)),
    "tanh": Formula(
        torch.tanh, one(lambda x: 1 - x.tanh().square()), (one(lambda x: 1 - x.tanh()),)
    ),
    "swish": Formula(
        lambda x: x * x.sigmoid(), one(swish_slope), (one(torch.sigmoid), one(sigmoid_slope))
    ),
    "gelu": Formula(
        lambda x: x * below(x), one(lambda x: below(x) + x * normal(x)), (one(below), one(normal))
    ),
    "softplus": Formula(
        lambda x: torch.log1p(x.exp()), one(torch.sigmoid), (one(lambda x: torch.sigmoid(-x)),)
    ),
    "relu": Formula(
        lambda x: x.clamp(min=0),
        one(lambda x: (x > 0).to(x.dtype)),
        (one(torch.ones_like), one(lambda x: (x > 0.1).to(x.dtype))),
    ),
    "cube": Formula(lambda x: x**3, one(lambda x: 3 * x**2), (one(lambda x: 2 * x**2),)),
    "sine": Formula(torch.sin, one(torch.cos), (one(lambda x: -x.cos()),)),
    "root": Formula(
        lambda x: (x.square() + 1).sqrt(),
        one(lambda x: x / (x.square() + 1).sqrt()),
        (one(lambda x: 0.5 / (x.square() + 1).sqrt()),),
    ),
    "softmax": Formula(
        lambda x: x.softmax(-1),
        of_softmax,
        (
            one(lambda x: x.softmax(-1) * (1 - x.softmax(-1))),
            lambda g, x: (x.softmax(-1) * (g - (g * x.softmax(-1)).sum(0)),),
        ),
    ),
    "log_softmax": Formula(
        lambda x: x.log_softmax(-1),
        lambda g, x: (g - x.softmax(-1) * g.sum(-1, keepdim=True),),
        (lambda g, x: (g - x.softmax(-1),), lambda g, x: (g - x.softmax(-1) * g,)),
    ),
    "normalize": Formula(
        lambda x: normalized(x)[0],
        of_norm,
        (
            lambda g, x: (normalized(x)[1] * g,),
            lambda g, x: (normalized(x)[1] * (g - g.mean(-1, keepdim=True)),),
        ),
    ),
    "rms": Formula(
        lambda x, w: x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * w,
        of_rms,
        (
            lambda g, x, w: (of_rms(g, x, w)[0], (g * x).sum(0)),
            lambda g, x, w: of_rms(g, x, torch.ones_like(w)),
        ),
        (lambda n: (n,),),
    ),
    "linear": Formula(
        lambda x, w, b: x @ w.T + b,
        lambda g, x, w, b: (g @ w, g.T @ x, g.sum(0)),
        (
            lambda g, x, w, b: (g @ w.T, g.T @ x, g.sum(0)),
            lambda g, x, w, b: (g @ w, x.T @ g, g.sum(0)),
            lambda g, x, w, b: (g @ w, g.T @ x, g.mean(0)),
        ),
        (lambda n: (n, n), lambda n: (n,)),
    ),
    "bilinear": Formula(
        lambda x, w: (x @ w) * x,
        lambda g, x, w: ((g * x) @ w.T + g * (x @ w), x.T @ (g * x)),
        (
            lambda g, x, w: ((g * x) @ w.T, x.T @ (g * x)),
            lambda g, x, w: (g * (x @ w), x.T @ (g * x)),
        ),
        (lambda n: (n, n),),
    ),
    "gate": Formula(
        lambda x, w: x * torch.sigmoid(x * w),
        lambda g, x, w: (
            g * ((x * w).sigmoid() + x * w * sigmoid_slope(x * w)),
            (g * x * x * sigmoid_slope(x * w)).sum(0),
        ),
        (
            lambda g, x, w: (
                g * ((x * w).sigmoid() + x * sigmoid_slope(x * w)),
                (g * x * x * sigmoid_slope(x * w)).sum(0),
            ),
            lambda g, x, w: (
                g * ((x * w).sigmoid() + x * w * sigmoid_slope(x * w)),
                (g * x * sigmoid_slope(x * w)).sum(0),
            ),
        ),
        (lambda n: (n,),),
    ),
    "scale_shift": Formula(
        lambda x, w, b: x * w + b,
        lambda g, x, w, b: (g * w, (g * x).sum(0), g.sum(0)),
        (
            lambda g, x, w, b: (g * w, (g * x).mean(0), g.sum(0)),
            lambda g, x, w, b: (g, (g * x).sum(0), g.sum(0)),
        ),
        (lambda n: (n,), lambda n: (n,)),
    ),
    "cumulated": Formula(
        lambda x: x.cumsum(-1),
        lambda g, x: (g.flip(-1).cumsum(-1).flip(-1),),
        (lambda g, x: (g.cumsum(-1),), lambda g, x: (g,)),
    ),
}


class Own(torch.autograd.Function):
    """Any formula, with any backward."""

    @staticmethod
    def forward(ctx: Any, forward: Any, backward: Any, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        ctx.own = backward
        result: Tensor = forward(*tensors)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, None, *ctx.own(grads[0], *ctx.saved_tensors))


class Model(nn.Module):
    """A layer, the function, a layer."""

    def __init__(self, formula: Formula, backward: Backward, n: int) -> None:
        super().__init__()
        self.formula, self.wrong_or_right = formula, backward
        self.first, self.last = nn.Linear(n, n), nn.Linear(n, 3)
        self.own = nn.ParameterList(torch.randn(*size(n)) for size in formula.sizes)

    def forward(self, x: Tensor) -> Tensor:
        made = Own.apply(self.formula.forward, self.wrong_or_right, self.first(x), *self.own)
        out: Tensor = self.last(made)
        return out


def any_slips(right: Backward, draw: random.Random) -> Iterator[Backward]:
    """Mistakes that every backward may have, in one of its gradients."""

    def changed(change: Callable[[Tensor, Tensor], Tensor]) -> Backward:
        def backward(g: Tensor, *tensors: Tensor) -> Gradients:
            found = list(right(g, *tensors))
            at = chosen % len(found)
            found[at] = change(found[at].clone(), g)
            return tuple(found)

        return backward

    def one_entry(t: Tensor, _: Tensor) -> Tensor:
        flat = t.reshape(-1)
        flat[int(flat.abs().argmax())] *= 1.001
        return flat.reshape(t.shape)

    chosen = draw.randrange(6)
    yield changed(lambda t, g: -t)
    yield changed(lambda t, g: 2 * t)
    yield changed(lambda t, g: t * 1.001)
    yield changed(lambda t, g: t / len(g))
    yield changed(lambda t, g: torch.zeros_like(t))
    yield changed(lambda t, g: t.flip(0))
    yield changed(one_entry)
    yield lambda g, *tensors: right(torch.ones_like(g), *tensors)


def gradients(formula: Formula, backward: Backward, seed: int, n: int) -> list[Tensor]:
    """In float64, to see whether a slip changes anything."""
    torch.manual_seed(seed)
    tensors = [torch.randn(5, n), *(torch.randn(*size(n)) for size in formula.sizes)]
    g = torch.randn_like(formula.forward(*tensors))
    return [t.double() for t in backward(g.double(), *(t.double() for t in tensors))]


def changes(formula: Formula, backward: Backward, seed: int, n: int) -> bool:
    """By more than float32 can hide."""
    right, wrong = (gradients(formula, b, seed, n) for b in (formula.backward, backward))
    gaps = (float((a - b).abs().max() / a.abs().max()) for a, b in zip(right, wrong, strict=True))
    return max(gaps) > 1e-4


def judged(formula: Formula, backward: Backward, seed: int, n: int) -> ModelReport:
    torch.manual_seed(seed)
    model, rows = Model(formula, backward, n), 3 + seed % 6
    return check_model(model, torch.randn(rows, n), loss=lambda out: out.square().mean())


def wrong_backward(formula: Formula, draw: random.Random, seed: int, n: int) -> Backward:
    """One that changes something."""
    while True:
        slips = (*formula.slips, *any_slips(formula.backward, draw))
        slip = draw.choice(slips[: len(formula.slips)] if draw.random() < 0.5 else slips)
        if changes(formula, slip, seed, n):
            return slip


def survey(wanted: int, seed: int) -> dict[str, Any]:
    """As many right backwards as wrong ones."""
    counts = {"right": 0, "alarms": 0, "wrong": 0, "misses": 0, "not judged": 0}
    told: list[str] = []
    for number in count(seed):
        for name, formula in FORMULAS.items():
            draw = random.Random(f"{name} {number}")
            n = draw.randint(2, 12)
            slip = wrong_backward(formula, draw, number, n)
            for backward, kind in ((formula.backward, "right"), (slip, "wrong")):
                report = judged(formula, backward, number, n)
                called = report.functions[0].outcome
                counts[kind] += 1
                counts["not judged"] += called == "unjudged"
                alarm = kind == "right" and report.outcome == "FAIL"
                miss = kind == "wrong" and (called != "wrong" or bool(report.wrong))
                counts["alarms"] += alarm
                counts["misses"] += miss
                if alarm or miss or called == "unjudged":
                    told.append(f"{name} {number}, {kind}: {called} {report.verdict}")
        if counts["right"] >= wanted:
            return counts | {"told": told, "formulas": len(FORMULAS), "seed": seed}
    raise AssertionError


@click.command()
@click.option("--functions", default=1_000, show_default=True, help="of either kind, at least")
@click.option("--seed", default=8_300_000, show_default=True)
def main(functions: int, seed: int) -> None:
    """Judge right and wrong backward passes; keep the figures."""
    warnings.simplefilter("ignore")
    one_thread()
    figures = survey(functions, seed)
    print(figures)
    keep("custom Functions", figures)


if __name__ == "__main__":
    main()
