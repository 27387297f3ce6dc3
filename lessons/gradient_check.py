"""Gradient checking: change each parameter a little, compare, then switch it off.

  numerical    n_i = (J(p + e_i eps) - J(p - e_i eps)) / (2 eps)
  difference   |g - n| / (|g| + |n|), with all parameters as one row (n,)
  bands        < 1e-7 very likely right, < 1e-5 look closer,
               < 1e-3 probably wrong, else wrong

Advice of the course: use it only to debug, never in training, because it takes
two forward passes per parameter. Look at the parts to find the wrong one.
Include the penalty. Switch dropout off, or keep its mask fixed. Check again
after some training.

There is a fast way. A complex step of the whole forward pass along a direction
v, Im J(p + i h v) / h, gives the exact derivative along v in a single pass. For
a right gradient g . v equals it. For a wrong one it does not, unless v is at
right angles to the error.

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
from torch_parity.compare.causes.plant import execute, plant
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
    """J as a function of the parameters, and the number of its evaluations."""

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
    """Check right gradients, wrong ones and a planted bug, in both ways on both sides."""
    step = _step(seed)
    params = {name: step.start[name] for name in step.pair.params}
    rng = np.random.default_rng([seed, 5])
    v = {name: rng.standard_normal(p.shape) for name, p in params.items()}
    cost = Cost(step)
    exact = cost.along(params, v)
    numbers = compared(step.manual, step.torch, step.start, step.nodes)
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
    columns = ("gradient", "side", "difference", "verdict", "worst", "error along v")
    zh = {
        "Central differences of all parameters, and one complex step along v": (
            "所有参数的中心差分，以及沿 v 的一次复数步长"
        ),
        "gradient": "梯度",
        "difference": "差异",
        "verdict": "判断",
        "worst": "最差的参数",
        "error along v": "沿 v 的误差",
        **{f"off by {share:g}": f"偏离 {share:g}" for share in SHARES},
        "bug": "植入的错误",
        "very likely right": "很可能正确",
        "look closer": "再仔细看",
        "probably wrong": "很可能错误",
        "wrong": "错误",
    }
    table = Table(next(iter(zh)), columns, (*rows,), zh)
    return Measured(numbers, (table,), {"epsilon": _draw(step, cost, params)})


def planted(step: Recorded, side: Side) -> Tensors:
    """The gradients of a step with a known mistake in its backward pass."""
    known = step.known_to(side, len(step.start["x"]))
    rng = np.random.default_rng(0)
    nodes = plant(CATALOGUE[BUG], step.nodes, known, step.trace(side), rng)
    assert nodes is not None, f"{BUG} touches every network with a hidden layer"
    return execute(nodes, known, side)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The bands of the notes, the bug, the cost, and the fast way."""
    return _bands(n), _bug(n), _price(n), _around(n)


def _bands(n: Numbers) -> Claim:
    limits = {0.0: (0, 1e-7), 1e-6: (1e-7, 1e-5), 1e-4: (1e-5, 1e-3), 1e-1: (1e-3, 1)}
    inside = all(
        low <= n[f"off by {share:g}/{s}"] < high
        for share, (low, high) in limits.items()
        for s in SIDES
    )
    measured = {share: f"{n[f'off by {share:g}/manual']:.1e}" for share in SHARES}
    found = ", ".join(f"{m} for a gradient off by {share:g}" for share, m in measured.items())
    found_zh = "，".join(f"梯度偏离 {share:g} 时为 {m}" for share, m in measured.items())
    return claim(
        inside,
        f"Each difference is in the expected band of the notes: {found}.",
        f"The differences are NOT in the expected bands of the notes: {found}.",
        f"每个差异都落在笔记给出的范围内：{found_zh}。",
        f"差异没有都落在笔记给出的范围内：{found_zh}。",
    )


def _bug(n: Numbers) -> Claim:
    least = min(n[f"bug/{s}"] for s in SIDES)
    layer = all(n[f"bug/first layer/{s}"] for s in SIDES)
    what = CATALOGUE[BUG].sentence.rstrip(".")
    return claim(
        least >= 1e-3 and layer,
        f'The check finds the planted bug ("{what}"): the difference is {least:.1e}, and it is '
        "greatest in the layer with the bug.",
        f'The planted bug ("{what}") was NOT found where it is: the difference is {least:.1e}.',
        f"检验发现了植入的错误（反向传播用了另一个激活函数的导数）：差异是 {least:.1e}，"
        "在有错的那一层最大。",
        f"检验没有在出错的地方发现植入的错误（反向传播用了另一个激活函数的导数）：差异是 "
        f"{least:.1e}。",
    )


def _price(n: Numbers) -> Claim:
    passes, size = n["passes"], n["parameters"]
    found = f"{passes:.0f} forward passes for {size:.0f} parameters"
    took = f"{n['seconds']:.1e} s; the backward pass takes {n['seconds/backward']:.1e} s"
    found_zh = f"{size:.0f} 个参数要做 {passes:.0f} 次前向传播"
    took_zh = f"用时 {n['seconds']:.1e} 秒，而反向传播只要 {n['seconds/backward']:.1e} 秒"
    agrees = bool(n["gradcheck"])
    return claim(
        passes >= 2 * size and agrees,
        f"It is slow: {found} take {took}. (The torch side also passes torch.autograd.gradcheck.)",
        f"NOT as the notes say: {found} take {took}; torch.autograd.gradcheck passed: {agrees}.",
        f"它很慢：{found_zh}，{took_zh}。（torch 一边也通过了 torch.autograd.gradcheck。）",
        f"与笔记不符：{found_zh}，{took_zh}；torch.autograd.gradcheck "
        f"{'通过' if agrees else '没有通过'}。",
    )


def _around(n: Numbers) -> Claim:
    right = max(n[f"off by 0/along/{s}"] for s in SIDES)
    least = min(n[f"{label}/along/{s}"] for label in ("off by 1e-06", "bug") for s in SIDES)
    return claim(
        right < 1e-10 < least,
        f"There is a fast way: one complex pass ({n['seconds/along']:.1e} s) separates the right "
        f"gradients (error {right:.1e}) from all wrong ones (error at least {least:.1e}).",
        f"One complex pass did NOT separate right gradients (error {right:.1e}) from wrong ones "
        f"(error {least:.1e}).",
        f"有快的办法：一次复数前向传播（{n['seconds/along']:.1e} 秒）就能区分正确的梯度（误差 "
        f"{right:.1e}）和所有错误的梯度（误差至少 {least:.1e}）。",
        f"一次复数前向传播没有区分出正确的梯度（误差 {right:.1e}）和错误的梯度（误差 "
        f"{least:.1e}）。",
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
    """The right gradients, the same with a relative error, and those with the bug."""
    right = {f"d{name}": step.trace(side)[f"d{name}"] for name in params}
    off = {f"off by {s:g}": {n: g * (1 + s) for n, g in right.items()} for s in SHARES}
    return off | {"bug": planted(step, side)}


def _autograds_own(step: Recorded) -> bool:
    """Whether torch.autograd.gradcheck, which uses central differences, passes the torch side."""
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
    """The difference for each epsilon: truncation errors on the right, rounding on the left."""
    figure, (ax,) = panels(1, 1, width=5)
    for side in SIDES:
        checks = [manual.gradient_check(cost, params, step.trace(side), e) for e in EPSILONS]
        ax.loglog(EPSILONS, [c.difference for c in checks], label=side, **STYLE[side])
    ax.axhline(1e-7, color="grey", lw=0.8, ls=":", label="1e-7")
    ax.set(xlabel="epsilon", ylabel="difference")
    ax.legend(frameon=False)
    return figure


ZH = "梯度检验：把每个参数改动一点点，比较，然后关掉。"
LESSON = Lesson("gradient-check", ("Grad check", "梯度检验"), __doc__, measure, conclude, ZH)
