"""Mistakes of positions: counted from 1, sine and cosine in each other's place, other pairs."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from torch_parity.compare.causes.cause import Cause, Evidence, by, on, one
from torch_parity.compare.flow.nodes import Node

ROTARY, SINUSOIDAL = "rotary_positions", "sinusoidal_positions"
USUAL_BASES = (10000.0, 500000.0, 1000000.0, 100.0)
Formula = Callable[..., Any]


def _from_one(name: str) -> Formula:
    """Position t gets the angle of t + 1"""

    def formula(f: Any, x: Any, **options: Any) -> Any:
        ahead = f["cat"](x[..., :1, :] * 0, x, dim=x.ndim - 2)
        return f[name](ahead, **options)[..., 1:, :]

    return formula


def _pattern(f: Any, x: Any, base: float) -> tuple[Any, Any]:
    """The sines and the cosines that are added to x"""
    added = f[SINUSOIDAL](x * 0, base=base)
    return added[..., 0::2], added[..., 1::2]


def _neighbours(f: Any, first: Any, second: Any) -> Any:
    """first_0, second_0, first_1, second_1..."""
    side_by_side = f["cat"](first[..., None], second[..., None], dim=first.ndim)
    return f["reshape"](side_by_side, shape=(*first.shape[:-1], 2 * first.shape[-1]))


def _cosine_first(f: Any, x: Any, *, base: float) -> Any:
    sin, cos = _pattern(f, x, base)
    return x + _neighbours(f, cos, sin)


def _in_halves(f: Any, x: Any, *, base: float) -> Any:
    return x + f["cat"](*_pattern(f, x, base), dim=x.ndim - 1)


def _mirrored(f: Any, x: Any, interleaved: bool) -> Any:
    """A pair (first, second) as (first, -second)"""
    half = x.shape[-1] // 2
    if interleaved:
        return _neighbours(f, x[..., 0::2], -x[..., 1::2])
    return f["cat"](x[..., :half], -x[..., half:], dim=x.ndim - 1)


def _other_way(turn: Formula) -> Formula:
    """The same turn by minus the angle: what a mirror shows of it"""

    def formula(f: Any, x: Any, *, interleaved: bool, **options: Any) -> Any:
        turned = turn(f, _mirrored(f, x, interleaved), interleaved=interleaved, **options)
        return _mirrored(f, turned, interleaved)

    return formula


def _turned(f: Any, x: Any, **options: Any) -> Any:
    return f[ROTARY](x, **options)


def _quarter(f: Any, x: Any, interleaved: bool) -> Any:
    """A pair (first, second) as (-second, first): turned by a right angle"""
    half = x.shape[-1] // 2
    if interleaved:
        return _neighbours(f, -x[..., 1::2], x[..., 0::2])
    return f["cat"](-x[..., half:], x[..., :half], dim=x.ndim - 1)


def _sine_for_cosine(f: Any, x: Any, **options: Any) -> Any:
    """first sin - second cos, first cos + second sin: turned back, and a right angle further"""
    return _quarter(f, _other_way(_turned)(f, x, **options), options["interleaved"])


def _sine_for_cosine_backward(f: Any, dout: Any, **options: Any) -> Any:
    """The transpose of it, which is its inverse"""
    return f[ROTARY](-_quarter(f, dout, options["interleaved"]), **options)


def _other_pairs(node: Node, e: Evidence) -> Iterable[Node]:
    other = not node.options["interleaved"]
    return [replace(node, options={**node.options, "interleaved": other})]


def _other_base(node: Node, e: Evidence) -> Iterable[Node]:
    """One of those that models use"""
    others = [base for base in USUAL_BASES if base != node.options["base"]]
    if e.rng is not None:
        others = [e.drawn.setdefault("base", float(e.rng.choice(others)))]
    return [replace(node, options={**node.options, "base": base}) for base in others]


CAUSES = (
    Cause(
        "positions_from_one",
        "Positions count from 1 instead of 0.",
        "positions = np.arange(t)  # 0, 1, 2...",
        "positions = torch.arange(t)  # 0, 1, 2...",
        (
            one(by(_from_one(SINUSOIDAL)), on(SINUSOIDAL)),
            one(by(_from_one(ROTARY)), on(ROTARY)),
            one(by(_other_way(_from_one(ROTARY))), on(f"{ROTARY}_backward")),
        ),
    ),
    Cause(
        "positions_sine_and_cosine_swapped",
        "Sine and cosine are swapped.",
        "pattern[:, 0::2] = np.sin(angles); pattern[:, 1::2] = np.cos(angles)",
        "x * cos + rotate_half(x) * sin  # added positions: sin at even places, cos at odd ones",
        (
            one(by(_cosine_first), on(SINUSOIDAL)),
            one(by(_sine_for_cosine), on(ROTARY)),
            one(by(_sine_for_cosine_backward), on(f"{ROTARY}_backward")),
        ),
    ),
    Cause(
        "sinusoidal_in_halves",
        "All sines stand before all cosines, where the two of an angle stand side by side.",
        "np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(t, n)",
        "torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)",
        (one(by(_in_halves), on(SINUSOIDAL)),),
    ),
    Cause(
        "rotary_pairs",
        "Rotary positions turn other pairs: neighbours where i and i + n/2 are a pair, or the "
        "other way round.",
        "rotary_positions(x, interleaved=False)  # True: pairs of neighbours",
        "torch.cat((-x2, x1), dim=-1) with x1, x2 = x.chunk(2, dim=-1)  # not x[..., ::2]",
        tuple(one(_other_pairs, on(name)) for name in (ROTARY, f"{ROTARY}_backward")),
    ),
    Cause(
        "rotary_direction",
        "Rotary positions turn the wrong way: forward by minus the angle, or the gradient by plus.",
        "first * cos - second * sin, first * sin + second * cos  # backward: with -sin",
        "x * cos + torch.cat((-x2, x1), dim=-1) * sin",
        (one(by(_other_way(_turned)), on(ROTARY)), one(by(_turned), on(f"{ROTARY}_backward"))),
    ),
    Cause(
        "positions_base",
        "The angles of the positions have another base.",
        "angles = t / base ** (2 * i / n)  # the base that the model was trained with",
        "1 / base ** (torch.arange(0, n, 2) / n)  # the base that the model was trained with",
        tuple(one(_other_base, on(name)) for name in (SINUSOIDAL, ROTARY, f"{ROTARY}_backward")),
    ),
)
