"""Optimizers: the update of a parameter computed again, with one setting changed.

Each side's settings are known. The formula with a's settings has to make a's new parameter, and
with one setting changed b's; what was changed is the cause.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.reports import where
from torch_parity.compare.bounds.tensors import BoundedTensor

UPDATE = ("update",)
BUFFERS = (
    "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg", "sum",
)  # fmt: skip


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


def updated(s: State, o: Settings) -> dict[str, BoundedTensor]:
    """The new parameter ("") and the new state, by name."""
    found: dict[str, Any] = {}

    def adam() -> Any:
        g: Any = -s.grad if o.maximize else s.grad
        p: Any = s.p
        if o.weight_decay and not o.decoupled:
            g = g + o.weight_decay * p
        if o.weight_decay and o.decoupled:
            p = p * (1 - o.lr * o.weight_decay)
        first, second = o.betas
        m: Any = (1 - first) * g
        v: Any = (1 - second) * g * g
        if "exp_avg" in s.buffers:
            m = first * s.buffers["exp_avg"] + m
            v = second * s.buffers["exp_avg_sq"] + v
        found["exp_avg"], found["exp_avg_sq"] = m, v
        if o.amsgrad and "max_exp_avg_sq" in s.buffers:
            v = found["max_exp_avg_sq"] = s.buffers["max_exp_avg_sq"].maximum(v)
        if o.corrected:
            m, v = m / (1 - first**s.step), v / (1 - second**s.step)
        return p - o.lr * m / (v.sqrt() + o.eps)

    def sgd() -> Any:
        g: Any = -s.grad if o.maximize else s.grad
        if o.weight_decay:
            g = g + o.weight_decay * s.p
        if o.momentum:
            kept = g
            if "momentum_buffer" in s.buffers:
                kept = o.momentum * s.buffers["momentum_buffer"] + (1 - o.dampening) * g
            found["momentum_buffer"] = kept
            g = g + o.momentum * kept if o.nesterov else kept
        return s.p - o.lr * g

    def rmsprop() -> Any:
        g: Any = (-s.grad if o.maximize else s.grad) + o.weight_decay * s.p
        square: Any = (1 - o.alpha) * g * g
        if "square_avg" in s.buffers:
            square = o.alpha * s.buffers["square_avg"] + square
        found["square_avg"] = square
        if o.centered:
            mean: Any = (1 - o.alpha) * g
            if "grad_avg" in s.buffers:
                mean = o.alpha * s.buffers["grad_avg"] + mean
            found["grad_avg"] = mean
            square = square - mean * mean
        change = g / (square.sqrt() + o.eps)
        if o.momentum:
            if "momentum_buffer" in s.buffers:
                change = o.momentum * s.buffers["momentum_buffer"] + change
            found["momentum_buffer"] = change
        return s.p - o.lr * change

    def adagrad() -> Any:
        g: Any = (-s.grad if o.maximize else s.grad) + o.weight_decay * s.p
        total = found["sum"] = s.buffers["sum"] + g * g
        rate = o.lr / (1 + (s.step - 1) * o.lr_decay)
        return s.p - rate * g / (total.sqrt() + o.eps)

    rules = {"adam": adam, "sgd": sgd, "rmsprop": rmsprop, "adagrad": adagrad}
    new = computed(rules[o.kind])
    if new is None:
        return {}
    return {"": new} | {n: b for n, x in found.items() if (b := numbers.bounded(x)) is not None}


@dataclass(frozen=True)
class Update:
    """The parameter that is updated differently first. name is b's, suffix says which of its
    results: "" the parameter, "exp_avg" a state."""

    name: str
    suffix: str
    of_a: Made
    of_b: Made
    state: State
    a: Settings
    b: Settings


def update(case: Case) -> Update | None:
    """What differs first, where that is an update whose settings are known."""
    if "update" not in case.found:
        case.found["update"] = _update(case)
    return case.found["update"]


def _update(case: Case) -> Update | None:
    end = case.parting.end.end
    if case.end is None or not end.name.startswith("new "):
        return None
    whole = end.name.removeprefix("new ")
    name = max(
        (n for n in case.b.options if whole == n or whole.startswith(f"{n}.")), key=len, default=""
    )
    partner = end.partner.removeprefix("new ")
    of_a = max(
        (n for n in case.a.options if partner == n or partner.startswith(f"{n}.")),
        key=len,
        default="",
    )
    if not name or not of_a:
        return None
    settings = [settings_of(s.options[n]) for s, n in ((case.a, of_a), (case.b, name))]
    state = _state(case.b, name)
    if state is None or settings[0] is None or settings[1] is None:
        return None
    if settings[0].kind != settings[1].kind:
        return None
    suffix = whole[len(name) :].lstrip(".")
    return Update(name, suffix, *case.end, state, settings[0], settings[1])


def _state(side: Side, name: str) -> State | None:
    record = side.record
    p, grad = record.given.get(name), record.results.get(f"{name}.grad")
    if p is None or grad is None:
        return None
    numbers_of = side.number(p), side.number(grad)
    if numbers_of[0] is None or numbers_of[1] is None:
        return None
    buffers = {}
    for kind in BUFFERS:
        ref = record.given.get(f"{name}.{kind}")
        tensor = None if ref is None else side.number(ref)
        if tensor is not None:
            buffers[kind] = tensor
    step = record.given.get(f"{name}.step")
    count = 0 if step is None else int(record.value(step).item())
    return State(numbers_of[0], numbers_of[1], buffers, count + 1)


def makes(u: Update, settings: Settings, made: Made) -> bool:
    """Whether the formula with these settings makes this result."""
    found = updated(u.state, settings).get(u.suffix)
    same = None if found is None else numbers.reshaped(found, tuple(made.tensor.shape))
    return same is not None and fits(same, made.tensor)


def changed(case: Case, **changes: Any) -> Iterator[tuple[Update, Side, Side]]:
    """(update, one, other): one's formula has this change, and other's has not."""
    u = update(case)
    if u is None:
        return
    for one, other, theirs, made, wanted in (
        (case.b, case.a, u.a, u.of_b, u.of_a),
        (case.a, case.b, u.b, u.of_a, u.of_b),
    ):
        if makes(u, theirs, wanted) and makes(u, replace(theirs, **changes), made):
            yield u, one, other


def option(case: Case, name: str) -> Iterator[tuple[Update, Any, Any]]:
    """(update, of a, of b): the settings differ in this, and with a's in b's formula both are the
    same."""
    u = update(case)
    if u is None or getattr(u.a, name) == getattr(u.b, name):
        return
    alone = replace(u.a, **{name: getattr(u.b, name)})
    if makes(u, u.a, u.of_a) and makes(u, alone, u.of_b):
        yield u, getattr(u.a, name), getattr(u.b, name)


def _told(case: Case, u: Update, name: str, of_a: Any, of_b: Any) -> str:
    return (
        f"{u.name} is updated with {name}={_short(of_b)} in {case.b.called} and {name}="
        f"{_short(of_a)} in {case.a.called} ({where(u.of_b.call)})."
    )


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@cause("adam_l2_decay", "weight decay in the gradient of Adam, or apart from it", UPDATE)
def adam_l2_decay(case: Case) -> Iterator[str]:
    """Adam's L2 against AdamW"""
    for u, of_a, _ in option(case, "decoupled"):
        with_l2, apart = (case.b, case.a) if of_a else (case.a, case.b)
        yield (
            f"{with_l2.called} adds {u.a.weight_decay:g} {u.name} to the gradient (Adam with L2), "
            f"{apart.called} takes it off the weight apart from Adam (AdamW; {where(u.of_b.call)})."
        )


@cause("bias_correction_missing", "Adam's averages without the correction of their start", UPDATE)
def bias_correction_missing(case: Case) -> Iterator[str]:
    """m against m / (1 - beta^t)"""
    for u, one, other in changed(case, corrected=False):
        yield (
            f"{one.called} updates {u.name} by the averages as they are, {other.called} divides "
            f"them by 1 - beta^{u.state.step} ({where(u.of_b.call)})."
        )


@cause("betas_swapped", "Adam's betas in the other order", UPDATE)
def betas_swapped(case: Case) -> Iterator[str]:
    """betas=(0.999, 0.9)"""
    for u, of_a, of_b in option(case, "betas"):
        if of_a == of_b[::-1]:
            yield _told(case, u, "betas", of_a, of_b)


@cause("betas", "other betas of Adam", UPDATE)
def betas(case: Case) -> Iterator[str]:
    """betas=(0.9, 0.95)"""
    for u, of_a, of_b in option(case, "betas"):
        if of_a != of_b[::-1]:
            yield _told(case, u, "betas", of_a, of_b)


@cause("optimizer_eps", "another eps of Adam", UPDATE)
def optimizer_eps(case: Case) -> Iterator[str]:
    """eps=1e-4"""
    for u, of_a, of_b in option(case, "eps"):
        yield _told(case, u, "eps", of_a, of_b)


@cause("biases_decayed", "weight decay of biases and norms on one side only", UPDATE)
def biases_decayed(case: Case) -> Iterator[str]:
    """Only vectors are decayed differently."""
    for u, of_a, of_b in option(case, "weight_decay"):
        if _only_vectors(case, u):
            decays, not_ = (case.b, case.a) if of_b else (case.a, case.b)
            yield (
                f"{decays.called} decays {u.name} by {max(of_a, of_b):g} ({where(u.of_b.call)}), "
                f"{not_.called} does not: biases and norms have weight_decay=0 there."
            )


@cause("weight_decay", "another weight decay", UPDATE)
def weight_decay(case: Case) -> Iterator[str]:
    """weight_decay=0.1 against 0"""
    for u, of_a, of_b in option(case, "weight_decay"):
        if not _only_vectors(case, u):
            yield _told(case, u, "weight_decay", of_a, of_b)


def _only_vectors(case: Case, u: Update) -> bool:
    """The matrices' decay is the same, and one of the vectors' is 0."""
    if u.state.p.dim() > 1 or min(u.a.weight_decay, u.b.weight_decay) > 0:
        return False
    known = {r.shape: n for n, r in case.b.record.given.items() if n in case.b.options}
    matrices = [n for s, n in known.items() if len(s) > 1 and n in case.a.options]
    return any(
        case.a.options[n].get("weight_decay") == case.b.options[n].get("weight_decay") != 0
        for n in matrices
    )


@cause("learning_rate", "another learning rate", UPDATE)
def learning_rate(case: Case) -> Iterator[str]:
    """lr=0.1 against 0.01"""
    for u, of_a, of_b in option(case, "lr"):
        yield _told(case, u, "lr", of_a, of_b)
    if update(case) is None:
        yield from _steps(case)


def _steps(case: Case) -> Iterator[str]:
    """Of any other optimizer: one step is a constant times the other."""
    name = case.parting.end.end.name.removeprefix("new ")
    old = case.b.record.given.get(name)
    p = None if old is None else case.b.number(old)
    if case.end is None or p is None:
        return
    steps = [computed(lambda m=m: m.tensor - p) for m in case.end]  # type: ignore[misc]
    if (
        steps[0] is None
        or steps[1] is None
        or not all(numbers.is_sharp(s) for s in steps if s is not None)
    ):
        return
    interval = numbers.factor(steps[1], steps[0])
    if interval is not None and numbers.middle(interval) > 0:
        rates: list[Any] = [s.options.get(name, {}).get("lr") for s in (case.a, case.b)]
        ratio = numbers.middle(interval)
        if (
            all(isinstance(r, float) for r in rates)
            and abs(rates[1] / rates[0] - ratio) < 1e-6 * ratio
        ):
            yield (
                f"{name} is updated with lr={rates[1]:g} in {case.b.called} and lr={rates[0]:g} in "
                f"{case.a.called}: the step is {ratio:.9g} times as long."
            )


@cause("momentum", "another momentum", UPDATE)
def momentum(case: Case) -> Iterator[str]:
    """momentum=0.99 against 0.9"""
    for u, of_a, of_b in option(case, "momentum"):
        yield _told(case, u, "momentum", of_a, of_b)


@cause("dampening", "gradients damped in the momentum on one side", UPDATE)
def dampening(case: Case) -> Iterator[str]:
    """dampening=0.9: an average of gradients, not their sum"""
    for u, of_a, of_b in option(case, "dampening"):
        yield _told(case, u, "dampening", of_a, of_b)


@cause("nesterov", "Nesterov's momentum on one side only", UPDATE)
def nesterov(case: Case) -> Iterator[str]:
    """nesterov=True"""
    for u, of_a, of_b in option(case, "nesterov"):
        yield _told(case, u, "nesterov", of_a, of_b)


@cause("amsgrad", "AMSGrad's maximum on one side only", UPDATE)
def amsgrad(case: Case) -> Iterator[str]:
    """amsgrad=True"""
    for u, of_a, of_b in option(case, "amsgrad"):
        yield _told(case, u, "amsgrad", of_a, of_b)


@cause("wrong_sign", "steps uphill", UPDATE)
def uphill(case: Case) -> Iterator[str]:
    """maximize=True"""
    for u, of_a, of_b in option(case, "maximize"):
        yield _told(case, u, "maximize", of_a, of_b)
    name = case.parting.end.end.name.removeprefix("new ")
    old = case.b.record.given.get(name)
    p = None if old is None else case.b.number(old)
    if update(case) is None and case.end is not None and p is not None:
        steps = [computed(lambda m=m: m.tensor - p) for m in case.end]  # type: ignore[misc]
        if steps[0] is not None and steps[1] is not None:
            interval = numbers.factor(steps[1], steps[0])
            if interval is not None and numbers.named_factor(interval, [("-", -1.0)]):
                yield (
                    f"{case.b.called} updates {name} by {case.a.called}'s step times -1 "
                    f"({where(case.end[1].call)})."
                )
