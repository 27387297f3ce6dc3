"""Gradient checks of one step by every method: the exact one, the course's and torch's.

The exact check decides. Two-sided differences and torch.autograd.gradcheck are shown for
comparison: near a kink they are wrong, and they miss errors below 1e-7 and 1e-3.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch.autograd.gradcheck import GradcheckError

from torch_parity import manual
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.errors import InputError
from torch_parity.compare.gradients.derivable import require_derivable, require_unclipped
from torch_parity.compare.gradients.torch_cost import torch_cost
from torch_parity.compare.runs.training import batches
from torch_parity.compare.sources.pair import Pair
from torch_parity.manual.gradients.exact_check import hold
from torch_parity.manual.gradients.gradient_check import Contribution, gradients_of
from torch_parity.manual.models.step import Tensors
from torch_parity.torch_ref.gradients.gradient_check import gradient_check

SAMPLED = 300  # the most entries that differences check
SLOW_UP_TO = 3_000  # the most parameters for gradcheck's full mode, which takes seconds


@dataclass(frozen=True)
class Moment:
    """The inputs of the gradients of one step, and the gradients of each side."""

    after: int
    params: Tensors
    x: np.ndarray
    y: np.ndarray
    masks: Tensors
    manual: Tensors
    torch: Tensors


@dataclass(frozen=True)
class Line:
    """One method on one side's gradients.

    difference is the course's |g - n| / (|g| + |n|), None if the method has none; entries is the
    number of checked entries; passed is None if the method does not decide.
    """

    side: str
    method: str
    difference: float | None
    verdict: str
    entries: int
    seconds: float
    passed: bool | None = None
    worst: tuple[Contribution, ...] = ()


@dataclass(frozen=True)
class Checked:
    """All methods on one step.

    errors holds, by side and parameter, |g - n| over the largest |n|.
    """

    after: int
    parameters: int
    kinks: int
    lines: tuple[Line, ...]
    errors: dict[str, Tensors]

    @property
    def passed(self) -> bool:
        """Whether every gradient is right by the exact check."""
        decided = [line.passed for line in self.lines if line.passed is not None]
        return bool(decided) and all(decided)


def moments(case: Case, data: Data, pair: Pair, after: int | None) -> Iterator[Moment]:
    """The first step and, if `after` is given, the one after that many steps of torch's training.

    Raises:
        InputError: the case is not in float64 on the CPU, a step does not stay finite, or the exact
            gradient of the model cannot be derived.
    """
    if case.dtype != "float64":
        raise InputError(f"gradients are checked in float64: leave --dtype {case.dtype} out")
    if case.device != "cpu":
        raise InputError(f"gradients are checked on the CPU: leave --device {case.device} out")
    require_unclipped(case)
    if case.accumulate > 1:
        raise InputError(
            "gradients are checked on one whole batch: leave --accumulate out. parity train "
            "--gradcheck checks what micro-batches add up to"
        )
    require_derivable(pair.manual.net)
    wanted = {0, after or 0}
    more = case.model_copy(update={"steps": max(wanted) + 1})
    with torch.random.fork_rng(devices=[]), np.errstate(over="ignore", invalid="ignore"):
        torch.manual_seed(case.seed)
        for step, rows in enumerate(batches(more, len(data.x_train))):
            x, y = data.x_train[rows], pair.targets.y_train[rows]
            params = pair.torch.params()
            by_torch, masks = pair.torch.step(x, y)
            if "loss" not in by_torch or not all(np.isfinite(a).all() for a in by_torch.values()):
                raise InputError(
                    f"step {step + 1} gives NaN or infinity; try a smaller lr or scale"
                )
            if step in wanted:
                t = manual.forward(pair.manual.net, params, x, masks)
                by_hand = manual.backward(pair.manual.net, params, t, y, masks)
                yield Moment(step, params, x, y, masks, by_hand, by_torch)


def check_moment(pair: Pair, at: Moment, done: Callable[[str], None]) -> Checked:
    """Every method on both sides' gradients; done is called with the name of each method."""
    net = pair.manual.net
    done("exact")
    began = perf_counter()
    exact = manual.exact_gradient(net, at.params, at.x, at.y, at.masks)
    shared = (perf_counter() - began) / 2
    lines, errors = [], {}
    for side, gradients in (("manual", at.manual), ("torch", at.torch)):
        began = perf_counter()
        c = hold(exact, net, at.params, at.x, at.y, at.masks, gradients)
        seconds = shared + perf_counter() - began
        worst = tuple(w for p in c.parameters if p.wrong for w in p.worst)
        lines.append(
            Line(side, "exact", c.difference, c.verdict, c.entries, seconds, c.passed, worst)
        )
        given = gradients_of(at.params, gradients, net.names.gradient)
        errors[side] = {n: _error(g, exact.gradients[n]) for n, g in given.items()}
    done("two-sided differences")
    lines.append(_differences(pair, at))
    total = sum(p.size for p in at.params.values())
    if total <= SLOW_UP_TO:
        done("torch.autograd.gradcheck")
        lines.append(_gradcheck(pair, at, fast=False))
    done("torch.autograd.gradcheck, fast mode")
    lines.append(_gradcheck(pair, at, fast=True))
    return Checked(at.after, total, exact.kinks, tuple(lines), errors)


def scan(pair: Pair, at: Moment) -> dict[float, float]:
    """The error of two-sided differences for each epsilon, on the entries that they check."""
    exact = manual.exact_gradient(pair.manual.net, at.params, at.x, at.y, at.masks).gradients
    cost, chosen = _sampled_cost(pair, at)
    sampled = {n: at.params[n].ravel()[i] for n, i in chosen.items()}
    return manual.epsilon_scan(cost, sampled, {n: exact[n].ravel()[i] for n, i in chosen.items()})


def _differences(pair: Pair, at: Moment) -> Line:
    """The course's check, on the hand-written gradients."""
    began = perf_counter()
    cost, chosen = _sampled_cost(pair, at)
    sampled = {n: at.params[n].ravel()[i] for n, i in chosen.items()}
    gradient = pair.manual.net.names.gradient
    given = {f"d{n}": at.manual[gradient(n)].ravel()[i] for n, i in chosen.items()}
    check = manual.gradient_check(cost, sampled, given)
    seconds, entries = perf_counter() - began, sum(i.size for i in chosen.values())
    return Line("manual", "two-sided", check.difference, check.verdict, entries, seconds)


def _sampled_cost(pair: Pair, at: Moment) -> tuple[Callable[..., float], dict[str, np.ndarray]]:
    """The cost as a function of some entries of each parameter, and which they are (flat)."""
    net, rng = pair.manual.net, np.random.default_rng(0)
    sizes = {n: p.size for n, p in at.params.items()}
    share = min(1.0, SAMPLED / sum(sizes.values()))
    chosen = {
        n: np.sort(rng.choice(size, max(1, int(size * share)), replace=False))
        for n, size in sizes.items()
    }
    moved = {n: p.copy() for n, p in at.params.items()}

    def cost(sampled: Tensors) -> float:
        for n, values in sampled.items():
            moved[n].reshape(-1)[chosen[n]] = values
        t = manual.forward(net, moved, at.x, at.masks)
        return float(list(manual.cost(net, moved, t[net.result], at.y).values())[-1])

    return cost, chosen


def _gradcheck(pair: Pair, at: Moment, fast: bool) -> Line:
    """torch's own check, on the torch model with fixed masks."""
    began = perf_counter()
    params = {n: torch.tensor(p, requires_grad=True) for n, p in at.params.items()}
    cost = torch_cost(pair.torch, at.x, at.y, at.masks)
    try:
        gradient_check(lambda: cost(params), params.values(), fast_mode=fast)
        verdict = "right to 1e-3"
    except GradcheckError:
        verdict = "wrong"
    method = f"gradcheck ({'fast' if fast else 'full'})"
    entries = len(params) if fast else sum(p.numel() for p in params.values())
    return Line("torch", method, None, verdict, entries, perf_counter() - began)


def _error(given: np.ndarray, exact: np.ndarray) -> np.ndarray:
    return np.abs(given - exact) / max(float(np.abs(exact).max()), 1e-300)
