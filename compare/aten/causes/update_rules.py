"""The update of a parameter by an optimizer with known settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.numbers import computed
from torch_parity.compare.bounds.tensors import BoundedTensor


@dataclass(frozen=True)
class Settings:
    """How a parameter is updated."""

    kind: str  # "adam", "sgd", "rmsprop", "adagrad"
    lr: float
    weight_decay: float = 0.0
    decoupled: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    amsgrad: bool = False
    corrected: bool = True
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    maximize: bool = False
    alpha: float = 0.99
    centered: bool = False
    lr_decay: float = 0.0


@dataclass(frozen=True)
class State:
    """What an update begins from, by the names that torch has for it."""

    p: BoundedTensor
    grad: BoundedTensor
    buffers: Mapping[str, BoundedTensor]
    step: int


def settings_of(options: Mapping[str, Any]) -> Settings | None:
    """Of torch's optimizers, and of those that have their settings by the same names."""
    kind = str(options.get("class", ""))
    if not isinstance(options.get("lr"), int | float):
        return None
    common: dict[str, Any] = {
        "lr": float(options["lr"]),
        "weight_decay": float(options.get("weight_decay") or 0.0),
        "maximize": bool(options.get("maximize", False)),
    }
    if "betas" in options:
        decoupled = options.get("decoupled_weight_decay", "AdamW" in kind)
        betas = float(options["betas"][0]), float(options["betas"][1])
        return Settings(
            "adam",
            decoupled=bool(decoupled),
            betas=betas,
            eps=float(options.get("eps", 1e-8)),
            amsgrad=bool(options.get("amsgrad", False)),
            **common,
        )
    if "momentum" in options and "alpha" not in options:
        return Settings(
            "sgd",
            momentum=float(options["momentum"]),
            dampening=float(options.get("dampening", 0.0)),
            nesterov=bool(options.get("nesterov", "esterov" in kind)),
            **common,
        )
    if "alpha" in options:
        return Settings(
            "rmsprop",
            alpha=float(options["alpha"]),
            eps=float(options.get("eps", 1e-8)),
            momentum=float(options.get("momentum", 0.0)),
            centered=bool(options.get("centered", False)),
            **common,
        )
    if "lr_decay" in options:
        eps, decay = float(options.get("eps", 1e-10)), float(options["lr_decay"])
        return Settings("adagrad", eps=eps, lr_decay=decay, **common)
    return None


def _direction(s: State, o: Settings) -> Any:
    """The gradient, downhill, with the weight decay that is added to it."""
    g: Any = -s.grad if o.maximize else s.grad
    return g + o.weight_decay * s.p if o.weight_decay and not o.decoupled else g


def _adam(s: State, o: Settings, new: dict[str, Any]) -> Any:
    p: Any = s.p
    if o.weight_decay and o.decoupled:
        p = p * (1 - o.lr * o.weight_decay)
    g = _direction(s, o)
    first, second = o.betas
    m: Any = (1 - first) * g
    v: Any = (1 - second) * g * g
    if "exp_avg" in s.buffers:
        m = first * s.buffers["exp_avg"] + m
        v = second * s.buffers["exp_avg_sq"] + v
    new["exp_avg"], new["exp_avg_sq"] = m, v
    if o.amsgrad and "max_exp_avg_sq" in s.buffers:
        v = new["max_exp_avg_sq"] = s.buffers["max_exp_avg_sq"].maximum(v)
    if o.corrected:
        m, v = m / (1 - first**s.step), v / (1 - second**s.step)
    return p - o.lr * m / (v.sqrt() + o.eps)


def _sgd(s: State, o: Settings, new: dict[str, Any]) -> Any:
    g = _direction(s, o)
    if o.momentum:
        kept = g
        if "momentum_buffer" in s.buffers:
            kept = o.momentum * s.buffers["momentum_buffer"] + (1 - o.dampening) * g
        new["momentum_buffer"] = kept
        g = g + o.momentum * kept if o.nesterov else kept
    return s.p - o.lr * g


def _rmsprop(s: State, o: Settings, new: dict[str, Any]) -> Any:
    g = _direction(s, o)
    square: Any = (1 - o.alpha) * g * g
    if "square_avg" in s.buffers:
        square = o.alpha * s.buffers["square_avg"] + square
    new["square_avg"] = square
    if o.centered:
        mean: Any = (1 - o.alpha) * g
        if "grad_avg" in s.buffers:
            mean = o.alpha * s.buffers["grad_avg"] + mean
        new["grad_avg"] = mean
        square = square - mean * mean
    change = g / (square.sqrt() + o.eps)
    if o.momentum:
        if "momentum_buffer" in s.buffers:
            change = o.momentum * s.buffers["momentum_buffer"] + change
        new["momentum_buffer"] = change
    return s.p - o.lr * change


def _adagrad(s: State, o: Settings, new: dict[str, Any]) -> Any:
    g = _direction(s, o)
    total = new["sum"] = s.buffers["sum"] + g * g
    rate = o.lr / (1 + (s.step - 1) * o.lr_decay)
    return s.p - rate * g / (total.sqrt() + o.eps)


RULES = {"adam": _adam, "sgd": _sgd, "rmsprop": _rmsprop, "adagrad": _adagrad}


def updated(s: State, o: Settings) -> dict[str, BoundedTensor]:
    """The new parameter ("") and the new state, by name."""
    found: dict[str, Any] = {}
    new = computed(lambda: RULES[o.kind](s, o, found))
    if new is None:
        return {}
    return {"": new} | {n: b for n, x in found.items() if (b := numbers.bounded(x)) is not None}
