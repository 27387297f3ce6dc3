"""The update that differs first, computed again with one setting changed.

Each side's settings are known. The formula with a's settings has to make a's new parameter, and
with one setting changed b's; what was changed is the cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import fits
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.causes.update_rules import Settings, State, settings_of, updated

BUFFERS = (
    "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg", "sum",
)  # fmt: skip


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
