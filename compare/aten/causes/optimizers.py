"""Known mistakes of optimizers: one setting, or one step of the formula, is another."""

from collections.abc import Callable, Iterator
from typing import Any

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.updates import Update, changed, option, update
from torch_parity.compare.aten.naming import where
from torch_parity.compare.bounds.tensors import BoundedTensor

UPDATE = ("update",)


def _told(case: Case, u: Update, name: str, of_a: Any, of_b: Any) -> str:
    return (
        f"{u.name} is updated with {name}={_short(of_b)} in {case.b.called} and {name}="
        f"{_short(of_a)} in {case.a.called} ({where(u.of_b.call)})."
    )


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _another(setting: str) -> Callable[[Case], Iterator[str]]:
    """The function that looks for another value of a setting."""

    def differs(case: Case) -> Iterator[str]:
        return (_told(case, u, setting, of_a, of_b) for u, of_a, of_b in option(case, setting))

    return differs


cause("optimizer_eps", "another eps of Adam", UPDATE)(_another("eps"))
cause("momentum", "another momentum", UPDATE)(_another("momentum"))
cause("dampening", "gradients damped in the momentum on one side", UPDATE)(_another("dampening"))
cause("nesterov", "Nesterov's momentum on one side only", UPDATE)(_another("nesterov"))
cause("amsgrad", "AMSGrad's maximum on one side only", UPDATE)(_another("amsgrad"))


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
    """lr=0.1 against 0.01; of any other optimizer: one step is a constant times the other."""
    yield from _another("lr")(case)
    for name, ratio, steps in _ratio_of_steps(case):
        rates: list[Any] = [s.options.get(name, {}).get("lr") for s in (case.a, case.b)]
        known = all(isinstance(r, float) for r in rates)
        sharp = all(numbers.is_sharp(s) for s in steps)
        factor = numbers.middle(ratio)
        if known and sharp and abs(rates[1] / rates[0] - factor) < 1e-6 * factor:
            yield (
                f"{name} is updated with lr={rates[1]:g} in {case.b.called} and lr={rates[0]:g} in "
                f"{case.a.called}: the step is {factor:.9g} times as long."
            )


@cause("wrong_sign", "steps uphill", UPDATE)
def uphill(case: Case) -> Iterator[str]:
    """maximize=True; of any other optimizer: one step is -1 times the other."""
    yield from _another("maximize")(case)
    for name, ratio, _ in _ratio_of_steps(case):
        if case.end is not None and numbers.named_factor(ratio, [("-", -1.0)]):
            yield (
                f"{case.b.called} updates {name} by {case.a.called}'s step times -1 "
                f"({where(case.end[1].call)})."
            )


def _ratio_of_steps(
    case: Case,
) -> Iterator[tuple[str, tuple[float, float], list[BoundedTensor]]]:
    """(name, b's step by a's, both steps), where the optimizer is not known."""
    name = case.parting.end.end.name.removeprefix("new ")
    old = case.b.record.given.get(name)
    p = None if old is None else case.b.number(old)
    if update(case) is not None or case.end is None or p is None:
        return
    steps = [s for m in case.end if (s := computed(lambda m=m: m.tensor - p)) is not None]  # type: ignore[misc]
    ratio = numbers.factor(steps[1], steps[0]) if len(steps) == 2 else None
    if ratio is not None:
        yield name, ratio, steps
