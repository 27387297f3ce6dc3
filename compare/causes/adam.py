"""Mistakes in Adam: its corrections, its epsilon, its step counter."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.causes.cause import Cause, Change, Evidence, by, on, one
from torch_parity.compare.causes.optimizer import COUNT
from torch_parity.compare.causes.remedies import of_step
from torch_parity.compare.flow.nodes import Node

ADAM = on("adam", "adamw")
EPSILONS = (0.0, *(10.0**-k for k in range(1, 17)))
MOST_STEPS = 200_000  # that a counter which is never reset is looked for in


def _adam(
    corrected: tuple[bool, bool] = (True, True),
    inside: bool = False,
    stored: tuple[bool, bool] = (False, False),
    count: Callable[[int], int] = lambda t: t,
) -> Callable[..., tuple[Any, ...]]:
    """Adam with one of its details changed: which of its moments (v, s) are corrected, which are
    stored after their correction, and which t it uses where t is right.
    """

    def formula(
        f: Any,
        W: Any,
        dW: Any,
        v: Any,
        s: Any,
        t: Any,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float = 0.0,
    ) -> Any:
        n = count(int(t))
        W = W * (1 - lr * weight_decay) if weight_decay else W
        v = beta1 * v + (1 - beta1) * dW
        s = beta2 * s + (1 - beta2) * dW**2
        step = v / (1 - beta1**n) if corrected[0] else v
        size = s / (1 - beta2**n) if corrected[1] else s
        root = f["sqrt"](size + eps) if inside else f["sqrt"](size) + eps
        return step if stored[0] else v, size if stored[1] else s, W - lr * step / root

    return formula


def _betas_swapped(node: Node, e: Evidence) -> Iterable[Node]:
    o = node.options
    return [replace(node, options={**o, "beta1": o["beta2"], "beta2": o["beta1"]})]


def other_epsilon(node: Node, e: Evidence) -> Iterable[Node]:
    """A power of ten is tried, as everybody writes it."""
    own = node.options["eps"]
    tried = EPSILONS if e.rng is None else [float(e.rng.choice([1e-3, 1e-4]))]
    return [replace(node, options={**node.options, "eps": x}) for x in tried if x != own]


def _counted_otherwise(count: Callable[[int, int], int]) -> Change:
    """t as another function of the right t and of the parameter's place among those updated."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        updates = _updates(node, e)
        place = updates.index(node)
        formula = _adam(count=lambda t: count(t, place))
        return [replace(node, formula=formula)] if len(updates) > 1 else []

    return change


def _stands_at(count: Callable[[Any], Any]) -> Change:
    """The recorded counter itself, unless a later step shows that it moves."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        unseen = e.rng is None and node.outputs[0] not in e.trace
        return [] if unseen or True in _moves_later(node, e) else by(lambda f, t: count(t))(node, e)

    return change


def _frozen(node: Node, e: Evidence) -> Iterable[Node]:
    """In every step the t of the first, or the one that the first began with."""
    given = e.known.get(node.inputs[-1].removeprefix("new_").partition("@")[0])
    tried = (1,) if given is None else (1, int(given))
    return [replace(node, formula=_adam(count=_always(n))) for n in tried]


def _behind(node: Node, e: Evidence) -> Iterable[Node]:
    """The recorded counter is one behind, unless a later step shows that it stands."""
    unseen = e.rng is None and node.outputs[0] not in e.trace
    return [] if unseen or False in _moves_later(node, e) else by(lambda f, t: t * 1)(node, e)


def _moves_later(node: Node, e: Evidence) -> list[bool]:
    """Whether the next recorded count of the same parameter is greater by 1, if there is one."""
    name = node.outputs[0]
    later = (n for n in e.nodes if COUNT(n, e) and n.inputs[0] in (f"new_{name}", name))
    counts = [(e.trace.get(name), e.trace.get(n.outputs[0])) for n in later if n is not node]
    return [int(b) == int(a) + 1 for a, b in counts if a is not None and b is not None]


def _from_zero(node: Node, e: Evidence) -> Iterable[Node]:
    """t - 1: in a first step that divides by 0, so where one was judged, t did not count so."""
    if any(int(e.known.get(n.inputs[-1], 0)) == 1 for n in e.nodes if ADAM(n, e)):
        return []
    return [replace(node, formula=_adam(count=lambda t: t - 1))]


def _updates(node: Node, e: Evidence) -> list[Node]:
    """All updates of the same step, where several are judged in a row."""
    step = node.outputs[-1].partition("@")[2]
    adam = (n for n in e.nodes if ADAM(n, e))
    return [n for n in adam if n.outputs[-1].partition("@")[2] == step]


def _per_parameter_from_the_start(node: Node, e: Evidence) -> Iterable[Node]:
    """One counter for all parameters since the first step: t = many * (t - 1) + place + 1."""
    many = len(_updates(node, e))
    return _counted_otherwise(lambda t, place: many * (t - 1) + place + 1)(node, e)


def _any_count(node: Node, e: Evidence) -> Iterable[Node]:
    """The whole number that this parameter's step shows, of all up to MOST_STEPS."""
    shown = e.number("t", lambda: _count_shown(node, e), lambda rng: float(rng.integers(20, 500)))
    return [replace(node, formula=_adam(count=_always(int(n)))) for n in shown]


def _always(n: int) -> Callable[[int], int]:
    return lambda t: n


def _count_shown(node: Node, e: Evidence) -> float | None:
    """Read off the entry that the update moves most."""
    made = e.trace.get(node.outputs[-1])
    if made is None or not all(name in e.known for name in node.inputs):
        return None
    W, dW, v, s, t = (np.asarray(e.known[name], np.float64) for name in node.inputs)
    o = node.options
    if made.shape != W.shape:
        return None
    W = W * (1 - o["lr"] * o.get("weight_decay", 0.0))
    v, s = o["beta1"] * v + (1 - o["beta1"]) * dW, o["beta2"] * s + (1 - o["beta2"]) * dW**2
    at = np.unravel_index(np.abs(made - W).argmax(), W.shape)
    n = np.arange(1, MOST_STEPS)
    step = v[at] / (1 - o["beta1"] ** n)
    moved = -o["lr"] * step / (np.sqrt(s[at] / (1 - o["beta2"] ** n)) + o["eps"])
    nearest = int(n[np.abs(moved - (made - W)[at]).argmin()])
    return float(nearest) if nearest != int(t) else None


CAUSES = (
    Cause(
        "adam_epsilon_inside_the_root",
        "Adam's epsilon stands inside the square root.",
        "np.sqrt(s_corrected) + eps",
        "torch.optim.Adam(eps=1e-8)  # adds it outside",
        (one(by(_adam(inside=True)), ADAM),),
    ),
    Cause(
        "adam_another_epsilon",
        "Adam's epsilon is another one.",
        "np.sqrt(s_corrected) + eps  # eps = 1e-8, unless the case says otherwise",
        "torch.optim.Adam(eps=1e-8)",
        (one(other_epsilon, ADAM),),
        remedy=of_step,
        tuned=True,
    ),
    Cause(
        "adam_bias_correction_missing",
        "Adam's moments are not corrected for their start at 0.",
        "v / (1 - beta1**t), s / (1 - beta2**t)",
        "torch.optim.Adam(...)  # corrects both",
        (one(by(_adam(corrected=(False, False))), ADAM),),
    ),
    Cause(
        "adam_second_moment_uncorrected",
        "Adam's first moment v is corrected for its start at 0, the second, s, is not.",
        "s_corrected = s / (1 - beta2**t)",
        "torch.optim.Adam(...)  # corrects both",
        (one(by(_adam(corrected=(True, False))), ADAM),),
    ),
    Cause(
        "adam_first_moment_uncorrected",
        "Adam's second moment s is corrected for its start at 0, the first, v, is not.",
        "v_corrected = v / (1 - beta1**t)",
        "torch.optim.Adam(...)  # corrects both",
        (one(by(_adam(corrected=(False, True))), ADAM),),
    ),
    Cause(
        "adam_correction_stored",
        "A corrected moment is stored as the moment itself, so that it is corrected again in each "
        "later step.",
        "v_corrected = v / (1 - beta1**t)  # v itself is kept as it is",
        "torch.optim.Adam(...)  # keeps exp_avg uncorrected",
        (
            one(by(_adam(stored=(True, False))), ADAM),
            one(by(_adam(stored=(False, True))), ADAM),
            one(by(_adam(stored=(True, True))), ADAM),
        ),
    ),
    Cause(
        "adam_step_count_frozen",
        "Adam's step counter does not move, so its correction stays that of an early step.",
        "t = t + 1  # before the update, every step",
        "torch.optim.Adam(...)  # one optimizer for the whole run, not a new one a step",
        (
            one(_stands_at(lambda t: t * 1), COUNT),
            one(_stands_at(lambda t: t * 0 + 1), COUNT),
            one(_frozen, ADAM),
        ),
    ),
    Cause(
        "adam_step_count_from_zero",
        "Adam counts its steps from 0: the correction uses t - 1.",
        "t = t + 1  # before the update: the first step has t = 1",
        "torch.optim.Adam(...)  # its first step has t = 1",
        (one(_from_zero, ADAM), one(_behind, COUNT)),
    ),
    Cause(
        "adam_step_count_per_parameter",
        "Adam's step counter moves with each parameter that is updated, not once in a step.",
        "t = t + 1  # once, before the loop over the parameters",
        "torch.optim.Adam(params, ...)  # one optimizer for all parameters",
        (
            one(_counted_otherwise(lambda t, place: t + place), ADAM),
            one(_per_parameter_from_the_start, ADAM),
        ),
    ),
    Cause(
        "adam_step_count",
        "Adam's correction uses another step count: it was never reset, or belongs to another run.",
        "t = 0  # when v and s begin at 0, then t + 1 in every step",
        "torch.optim.Adam(...)  # counts the steps of each parameter itself",
        (one(_any_count, ADAM),),
        tuned=True,
    ),
    Cause(
        "adam_betas_swapped",
        "beta1 and beta2 have changed places.",
        "adam(..., beta1=0.9, beta2=0.999)",
        "torch.optim.Adam(betas=(0.9, 0.999))",
        (one(_betas_swapped, ADAM),),
    ),
)
