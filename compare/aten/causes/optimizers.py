"""Known mistakes of optimizers: one setting, or one step of the formula, is another."""

from collections.abc import Iterator
from typing import Any

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.updates import Update, changed, option, update
from torch_parity.compare.aten.naming import where

UPDATE = ("update",)


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
