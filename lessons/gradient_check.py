"""Gradient checking: nudge every number, compare, and switch it off again.

  numerical    n_i = (J(p + e_i eps) - J(p - e_i eps)) / (2 eps)
  difference   |g - n| / (|g| + |n|), of all parameters in one row (n,)
  bands        < 1e-7 very likely right, < 1e-5 look closer,
               < 1e-3 probably wrong, else wrong

Advice of the course: only to debug, never in training, for it takes two forward
passes a number; look at the parts to find the guilty one; remember the penalty;
not with dropout, unless its mask is held; and again after some training.

It need not be slow. A complex step of the whole forward along one direction v,
Im J(p + i h v) / h, is the exact derivative along v, in a single pass; a right
gradient has g . v equal to it, and a wrong one misses it unless v happens to
be at right angles to the mistake.

Source: course 2 week 1, "gradient checking" and its implementation notes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.autograd.gradcheck import GradcheckError

from torch_parity import manual
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.plant import plant, run
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.judge.witness import STEP
from torch_parity.compare.show.curves import STYLE
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, compared
from torch_parity.lessons.pictures import panels
from torch_parity.manual.models.step import Tensors
from torch_parity.torch_ref.gradients.gradient_check import gradient_check as gradcheck

BUG = "slope_of_another_activation"
SHARES = (0.0, 1e-6, 1e-4, 1e-1)
EPSILONS = tuple(10.0**-k for k in range(1, 13))


@dataclass
class Cost:
    """J as a function of the parameters, and how often it was asked for."""

    step: Recorded
    passes: int = 0

    def __call__(self, params: Mapping[str, np.ndarray]) -> float:
        self.passes += 1
        return float(self._cost(params).real)

    def along(self, params: Mapping[str, np.ndarray], v: Mapping[str, np.ndarray]) -> float:
        """The exact derivative along v, by one complex step."""
        self.passes += 1
        return float(self._cost({n: p + 1j * STEP * v[n] for n, p in params.items()}).imag / STEP)

    def _cost(self, params: Mapping[str, np.ndarray]) -> np.ndarray:
        net, start = self.step.pair.manual.net, self.step.start
        output = manual.forward(net, params, start["x"], {})[net.result]
        return manual.cost(net, params, output, start["y"])["cost"]


def measure(seed: int) -> Measured:
    """Right gradients, wrong ones, and a planted bug, checked both ways on both sides."""
    step = _step(seed)
    params = {name: step.start[name] for name in step.pair.params}
    rng = np.random.default_rng([seed, 5])
    v = {name: rng.standard_normal(p.shape) for name, p in params.items()}
    cost = Cost(step)
    exact = cost.along(params, v)
    numbers = compared(step.manual, step.torch)
    numbers |= {"parameters": sum(p.size for p in params.values())}
    rows = []
    for side in SIDES:
        for label, g in _gradients(step, side, params).items():
            cost.passes = 0
            check = manual.gradient_check(cost, params, g)
            along = abs(float(sum((g[f"d{n}"] * v[n]).sum() for n in v)) - exact) / abs(exact)
            worst = max(check.per_parameter, key=check.per_parameter.__getitem__)
            numbers |= {
                "passes": cost.passes,
                f"{label}/{side}": check.difference,
                f"{label}/along/{side}": along,
                f"{label}/first layer/{side}": worst in ("W1", "b1"),
            }
            shown = (f"{check.difference:.1e}", check.verdict, worst, f"{along:.1e}")
            rows.append((label, side, *shown))
    numbers |= _times(step, cost, params, v) | {"gradcheck": float(_autograds_own(step))}
    columns = ("gradient", "side", "difference", "verdict", "worst", "along v, exact")
    table = Table("Central differences of all parameters, and one pass along v", columns, (*rows,))
    return Measured(numbers, (table,), {"epsilon": _draw(step, cost, params)})


def planted(step: Recorded, side: Side) -> Tensors:
    """The gradients of a step with a known mistake in its backward pass."""
    known = step.known_to(side, len(step.start["x"]))
    rng = np.random.default_rng(0)
    nodes = plant(CATALOGUE[BUG], step.nodes, known, step.trace(side), rng)
    assert nodes is not None, f"{BUG} touches every network with a hidden layer"
    return run(nodes, known, side)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The bands, the bug, the price, and the way around it."""
    return _bands(n), _bug(n), _price(n), _around(n)


def _bands(n: Numbers) -> Claim:
    limits = {0.0: (0, 1e-7), 1e-6: (1e-7, 1e-5), 1e-4: (1e-5, 1e-3), 1e-1: (1e-3, 1)}
    inside = all(
        low <= n[f"off by {share:g}/{s}"] < high
        for share, (low, high) in limits.items()
        for s in SIDES
    )
    found = ", ".join(f"{n[f'off by {share:g}/manual']:.1e} (off by {share:g})" for share in SHARES)
    return claim(
        inside,
        f"Each gradient falls into its band of the notes: {found}.",
        f"The gradients do NOT fall into the bands of the notes: {found}.",
    )


def _bug(n: Numbers) -> Claim:
    least = min(n[f"bug/{s}"] for s in SIDES)
    layer = all(n[f"bug/first layer/{s}"] for s in SIDES)
    what = CATALOGUE[BUG].sentence.rstrip(".")
    return claim(
        least >= 1e-3 and layer,
        f'The planted bug ("{what}") is found: difference {least:.1e}, worst in the layer that '
        "has it.",
        f'The planted bug ("{what}") was NOT found where it is: difference {least:.1e}.',
    )


def _price(n: Numbers) -> Claim:
    passes, size = n["passes"], n["parameters"]
    found = f"{passes:.0f} forward passes for {size:.0f} parameters"
    took = f"{n['seconds']:.1e} s, the backward pass {n['seconds/backward']:.1e} s"
    return claim(
        passes >= 2 * size and bool(n["gradcheck"]),
        f"It is slow: {found}, {took}. (torch's own, autograd.gradcheck, passes torch's side.)",
        f"It took {found}, {took}; torch's gradcheck passed: {bool(n['gradcheck'])}. NOT as told.",
    )


def _around(n: Numbers) -> Claim:
    right = max(n[f"off by 0/along/{s}"] for s in SIDES)
    least = min(n[f"{label}/along/{s}"] for label in ("off by 1e-06", "bug") for s in SIDES)
    return claim(
        right < 1e-10 < least,
        f"It need not be: one complex pass ({n['seconds/along']:.1e} s) tells the right gradients "
        f"({right:.1e} off) from all wrong ones ({least:.1e} off or more).",
        f"One complex pass did NOT tell right ({right:.1e} off) from wrong ({least:.1e} off).",
    )


def _step(seed: int) -> Recorded:
    """A step after a little training, with L2 and without dropout."""
    case = Case.model_validate(
        {
            "data": "moons",
            "samples": 60,
            "hidden": (20,),
            "activation": "tanh",
            "bias_scale": 0.3,
            "p": 0,
            "seed": seed,
        }
    )
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    return record(sides, loaded.x_train, sides.targets.y_train, count=5)[-1]


def _gradients(step: Recorded, side: Side, params: Tensors) -> dict[str, Tensors]:
    """The right ones, the same off by a share of themselves, and those with the bug."""
    right = {f"d{name}": step.trace(side)[f"d{name}"] for name in params}
    off = {f"off by {s:g}": {n: g * (1 + s) for n, g in right.items()} for s in SHARES}
    return off | {"bug": planted(step, side)}


def _autograds_own(step: Recorded) -> bool:
    """torch.autograd.gradcheck on torch's side: central differences as well."""
    torch_side = step.pair.torch
    x, y = (torch.tensor(step.start[name]) for name in ("x", "y"))
    net = torch_side.net.eval()
    try:
        return gradcheck(lambda: torch_side.task.criterion(net(x), y), net.parameters())
    except GradcheckError:
        return False


def _times(step: Recorded, cost: Cost, params: Tensors, v: Tensors) -> dict[str, float]:
    """Seconds of a check of all parameters, of one backward pass, and of one complex pass."""
    net, y = step.pair.manual.net, step.start["y"]
    works: dict[str, Callable[[], object]] = {
        "seconds": lambda: manual.numerical_gradient(cost, params),
        "seconds/backward": lambda: manual.backward(net, params, step.manual, y, {}),
        "seconds/along": lambda: cost.along(params, v),
    }
    taken = {}
    for name, work in works.items():
        began = perf_counter()
        work()
        taken[name] = perf_counter() - began
    return taken


def _draw(step: Recorded, cost: Cost, params: Tensors) -> Figure:
    """How the difference depends on epsilon: truncation on the right, rounding on the left."""
    figure, (ax,) = panels(1, 1, width=5)
    for side in SIDES:
        checks = [manual.gradient_check(cost, params, step.trace(side), e) for e in EPSILONS]
        ax.loglog(EPSILONS, [c.difference for c in checks], label=side, **STYLE[side])
    ax.axhline(1e-7, color="grey", lw=0.8, ls=":", label="1e-7")
    ax.set(xlabel="epsilon", ylabel="difference")
    ax.legend(frameon=False)
    return figure


LESSON = Lesson("gradient-check", ("Grad check", "梯度检验"), __doc__, measure, conclude)
