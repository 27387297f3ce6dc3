"""Activations: where they saturate, their slopes, and their slope at 0.

  sigmoid     a = 1 / (1 + e^-z)               g'(z) = a (1 - a)
  tanh        a = (e^z - e^-z) / (e^z + e^-z)  g'(z) = 1 - a^2
  relu        a = max(0, z)                    g'(z) = 1 if z > 0 else 0
  leaky_relu  a = max(0.01 z, z)               g'(z) = 1 if z > 0 else 0.01

All act entry by entry: z (m, n) -> a (m, n). tanh serves hidden layers better
than sigmoid, because its outputs are centred on 0; sigmoid is for an output
that is to lie between 0 and 1. Where |z| is large, both are flat, and gradient
descent hardly moves; relu stays steep, and is the one to take when in doubt.
At exactly z = 0 relu has no slope: what is used there is a convention.

Source: course week 3, "activation functions" and their derivatives.
"""

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.show.curves import STYLE
from torch_parity.lessons.experiment import slope, value
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, compared
from torch_parity.lessons.pictures import panels

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu")
POINTS = (-10.0, -1.0, 0.0, 1.0, 10.0)
DRAWN = (500, 20)


def measure(seed: int) -> Measured:
    """Values and slopes at five points, means over standard normal z, on both sides."""
    points = np.array([POINTS])
    z = np.random.default_rng(seed).standard_normal(DRAWN)
    tensors: dict[str, dict[str, np.ndarray]] = {side: {} for side in SIDES}
    numbers: dict[str, float] = {"share of z at 0": float(np.mean(z == 0))}
    for side in SIDES:
        for name in NAMES:
            g, dg = value(side, name, points), slope(side, name, points)
            tensors[side] |= {f"{name}/value": g, f"{name}/slope": dg}
            tensors[side] |= {f"{name}/drawn": value(side, name, z)}
            numbers[f"{name}/slope at 10/{side}"] = float(dg[0, -1])
            numbers[f"{name}/slope at -10/{side}"] = float(dg[0, 0])
            numbers[f"{name}/slope at 0/{side}"] = float(dg[0, 2])
            numbers[f"{name}/mean/{side}"] = float(value(side, name, z).mean())
        a = value(side, "sigmoid", z)
        gap = np.abs(a * (1 - a) - slope(side, "sigmoid", z)).max()
        numbers[f"sigmoid/formula/{side}"] = float(gap)
        gap = np.abs(1 - value(side, "tanh", z) ** 2 - slope(side, "tanh", z)).max()
        numbers[f"tanh/formula/{side}"] = float(gap)
    numbers |= compared(tensors["manual"], tensors["torch"])
    tables = (
        _at_points("value", tensors),
        _at_points("slope", tensors),
        Table(
            f"Mean activation of {z.size} standard normal z",
            ("", *SIDES),
            tuple((n, *(f"{numbers[f'{n}/mean/{s}']:.4f}" for s in SIDES)) for n in NAMES),
        ),
    )
    return Measured(numbers, tables, {"activations": _draw()})


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Saturation, centring, the formulas of the notes, and the convention at 0."""
    return _formulas(n), _saturation(n), _means(n), _at_zero(n)


def _formulas(n: Numbers) -> Claim:
    gap = max(n[f"{name}/formula/{side}"] for name in ("sigmoid", "tanh") for side in SIDES)
    return claim(
        gap <= 1e-15,
        f"a (1 - a) and 1 - a^2 are the slopes of sigmoid and tanh, to {gap:.1e} on both sides.",
        f"a (1 - a) and 1 - a^2 are NOT the slopes of sigmoid and tanh: {gap:.1e} apart.",
    )


def _saturation(n: Numbers) -> Claim:
    flat = {a: max(n[f"{a}/slope at 10/{s}"] for s in SIDES) for a in ("sigmoid", "tanh")}
    steep = min(n[f"relu/slope at 10/{s}"] for s in SIDES)
    dead = max(n[f"relu/slope at -10/{s}"] for s in SIDES)
    leaky = min(n[f"leaky_relu/slope at -10/{s}"] for s in SIDES)
    found = (
        f"at z = 10 the slope of sigmoid is {flat['sigmoid']:.1e} and that of tanh "
        f"{flat['tanh']:.1e}, that of relu {steep:g}; at z = -10 relu's is {dead:g}, "
        f"leaky_relu's {leaky:g}"
    )
    return claim(
        max(flat.values()) < 1e-4 and steep == 1 and dead == 0 < leaky,
        f"Sigmoid and tanh saturate: {found}.",
        f"Sigmoid and tanh do NOT saturate as the notes have it: {found}.",
    )


def _means(n: Numbers) -> Claim:
    sigmoid, tanh = ([n[f"{a}/mean/{s}"] for s in SIDES] for a in ("sigmoid", "tanh"))
    found = f"its mean activation is {tanh[0]:.4f}, that of sigmoid {sigmoid[0]:.4f}"
    return claim(
        max(map(abs, tanh)) < 0.1 < 0.4 < min(sigmoid),
        f"tanh is centred on 0 and sigmoid is not: {found}.",
        f"tanh is NOT centred on 0 as against sigmoid here: {found}.",
    )


def _at_zero(n: Numbers) -> Claim:
    relu, leaky = ([n[f"{a}/slope at 0/{s}"] for s in SIDES] for a in ("relu", "leaky_relu"))
    found = (
        f"relu {relu[0]:g} by hand and {relu[1]:g} in torch, leaky_relu {leaky[0]:g} and "
        f"{leaky[1]:g}; {n['share of z at 0']:.0%} of the drawn z are exactly 0"
    )
    return claim(
        relu[0] == relu[1] and leaky[0] == leaky[1] and n["share of z at 0"] < 0.01,
        f"At z = 0 both sides keep one convention, and it hardly matters: {found}.",
        f"At z = 0 the sides do NOT agree on a convention, or it matters: {found}.",
    )


def _at_points(what: str, tensors: dict[str, dict[str, np.ndarray]]) -> Table:
    rows = tuple(
        (f"{name}, {side}", *(f"{v:.6g}" for v in tensors[side][f"{name}/{what}"][0]))
        for name in NAMES
        for side in SIDES
    )
    return Table(f"The {what} at z =", ("", *(f"{z:g}" for z in POINTS)), rows)


def _draw() -> Figure:
    """Above each function, below its slope; thick by hand, thin in torch."""
    z = np.linspace(-6, 6, 601)[None]
    figure, axes = panels(2, len(NAMES))
    for i, name in enumerate(NAMES):
        for side in SIDES:
            axes[i].plot(z[0], value(side, name, z)[0], label=side, **STYLE[side])
            axes[i + len(NAMES)].plot(z[0], slope(side, name, z)[0], label=side, **STYLE[side])
        axes[i].set_title(name)
        axes[i + len(NAMES)].set_title(f"{name}: slope")
    axes[0].legend(frameon=False)
    return figure


LESSON = Lesson("activations", ("激活函数",), __doc__, measure, conclude)
