"""Mistakes in dropout: its scale, its mask, and when it is on."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.causes.cause import (
    Cause,
    Change,
    Effect,
    Evidence,
    on,
    one,
)
from torch_parity.compare.causes.factor import Factor, common_factor
from torch_parity.compare.flow.nodes import Node

FORWARD, BACKWARD = on("dropout"), on("dropout_backward")


def _passes_on(node: Node, e: Evidence) -> bool:
    """a -> h where the case has no dropout: no mask was given, or one of all ones."""
    return node.operation == "dropout" or (e.graph.is_copy(node) and node.layer > 0)


def _passes_back(node: Node, e: Evidence) -> bool:
    """dh -> da, of the same."""
    return node.forward is not None and _passes_on(node.forward, e)


def _mask(node: Node, e: Evidence) -> np.ndarray | None:
    """The mask of a dropout, seen from its forward or its backward; None where there is none."""
    of = node.forward or node
    return e.known.get(of.inputs[1]) if of.operation == "dropout" else None


def _scale_of(node: Node, e: Evidence) -> float | None:
    """1 / (1 - p) as the mask shows it, or, if it drops all units of a micro-batch, as another mask
    of the layer does; None where nothing is dropped."""
    mask = _mask(node, e)
    if mask is None:
        return None
    masks = [mask]
    if not mask.any():
        masks += [m for n in e.nodes if n.layer == node.layer and (m := _mask(n, e)) is not None]
    scale = max(float(m.max()) for m in masks)
    return scale if scale > 1 else None


def _masked_by(scale: Callable[[float], float]) -> Change:
    """The same units dropped, the others scaled otherwise."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        was = _scale_of(node, e)
        if was is None:
            return []
        factor = scale(was)
        return [replace(node, formula=lambda f, a, mask: a * (mask > 0) * factor)]

    return change


def _not_dropped(node: Node, e: Evidence) -> Iterable[Node]:
    if _scale_of(node, e) is None:
        return []
    return [_fixed_mask(node, np.ones(()))]


def _scaled_alone(node: Node, e: Evidence) -> Iterable[Node]:
    was = _scale_of(node, e)
    return [] if was is None else [_fixed_mask(node, np.full((), was))]


def _another_mask(node: Node, e: Evidence) -> Iterable[Node]:
    """A mask of the right scale that drops other units, as the record shows it."""
    was = _scale_of(node, e)
    if was is None:
        return []
    mask = _mask(node, e)
    assert mask is not None
    if e.rng is not None:
        return [_fixed_mask(node, _drawn_mask(node, e, mask.shape, was))]
    shown = _shown_mask(node, e, was)
    if shown is None:
        return []
    # a draw that keeps every unit, or comes out as the given mask, is one where others show it
    no_draw = shown.all() or (FORWARD(node, e) and np.array_equal(shown, mask))
    return [] if no_draw and not _drops_elsewhere(node, e) else [_fixed_mask(node, shown)]


def _another_mask_kept(node: Node, e: Evidence) -> Iterable[Node]:
    """Backward, the mask that the forward pass shows; where it shows none (a = 0), its own."""
    scale, forward = _scale_of(node, e), node.forward
    if e.rng is not None or scale is None or forward is None:
        return _another_mask(node, e)
    shown, made = _shown_mask(node, e, scale), _shown_mask(forward, e, scale)
    if shown is None or made is None:
        return _another_mask(node, e)
    return [_fixed_mask(node, np.where(e.known[forward.inputs[0]] != 0, made, shown))]


def _drops_elsewhere(node: Node, e: Evidence) -> bool:
    """Whether another layer shows a mask of its own, in the same direction."""
    for other in e.nodes:
        scale = _scale_of(other, e) if other.operation == node.operation else None
        given = _mask(other, e)
        if other is not node and scale is not None and given is not None:
            shown = _shown_mask(other, e, scale)
            if shown is not None and not shown.all() and not np.array_equal(shown, given):
                return True
    return False


def _drawn_mask(node: Node, e: Evidence, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """A mask for planting, the same forward and backward, that drops something."""
    key = f"mask of {(node.forward or node).outputs[0]}"
    while key not in e.drawn or e.drawn[key].all():
        assert e.rng is not None
        e.drawn[key] = np.where(e.rng.random(shape) < 1 / scale, scale, 0)
    mask: np.ndarray = e.drawn[key]
    return mask


def _uninvited_mask(node: Node, e: Evidence) -> Iterable[Node]:
    """A mask where the case has none; its scale is the record's."""
    if _scale_of(node, e) is not None:
        return []
    if e.rng is not None:
        shape = e.known[(node.forward or node).inputs[0]].shape
        return [_fixed_mask(node, _drawn_mask(node, e, shape, 1 / 0.7))]
    shown = _shown_mask(node, e, None)
    return [] if shown is None else [_fixed_mask(node, shown)]


def _shown_mask(node: Node, e: Evidence, scale: float | None) -> np.ndarray | None:
    """What was dropped is 0, the rest is scaled by one number: the given scale, or, where something
    was dropped for sure, the one that the record shows."""
    of, made = e.known.get(node.inputs[0]), e.trace.get(node.outputs[0])
    if of is None or made is None or of.shape != made.shape:
        return None
    if scale is None:
        kept, dropped = (of != 0) & (made != 0), (of != 0) & (made == 0)

        def estimate() -> Factor | None:
            error = e.eps * np.abs(made)
            found = common_factor(made, 0.0, np.where(kept, of, 0), error)
            return found if found and found.value > 1 and dropped.any() else None

        scales = e.number("mask", estimate, lambda rng: 0.0)
        if not scales:
            return None
        scale = scales[0]
    given = _mask(node, e)
    given = np.zeros(made.shape) if given is None else given
    return np.where(of == 0, given, np.where(made != 0, scale, 0))


def _fixed_mask(node: Node, mask: np.ndarray) -> Node:
    def formula(f: Any, a: Any, *given: Any) -> Any:
        return a * f["like"](mask, a)

    return replace(node, formula=formula)


def _both(change: Change) -> tuple[Effect, ...]:
    return (Effect(FORWARD, change), Effect(BACKWARD, change))


CAUSES = (
    Cause(
        "keep_prob",
        "p and keep_prob are confused: units are scaled by 1/p instead of 1/(1-p).",
        "mask = (rng.random(shape) >= p) / (1 - p)",
        "nn.Dropout(p)  # p = 1 - keep_prob",
        (_both(_masked_by(lambda s: s / (s - 1))),),
    ),
    Cause(
        "dropout_unscaled",
        "The kept units are not scaled by 1/(1-p), forward nor backward.",
        "h = a * mask  # mask of 0 or 1/(1-p)",
        "nn.Dropout(p)  # scales itself",
        (_both(_masked_by(lambda s: 1.0)),),
    ),
    Cause(
        "dropout_unscaled_forward",
        "The kept units are scaled by 1/(1-p) in the backward pass alone.",
        "h = a * mask  # mask of 0 or 1/(1-p)",
        "nn.Dropout(p)  # scales itself",
        (one(_masked_by(lambda s: 1.0), FORWARD),),
    ),
    Cause(
        "dropout_unscaled_backward",
        "The kept units are scaled by 1/(1-p) in the forward pass alone.",
        "da = dh * mask  # the same mask, its scale included",
        "nn.Dropout(p)  # leave its backward to autograd",
        (one(_masked_by(lambda s: 1.0), BACKWARD),),
    ),
    Cause(
        "mask_not_applied_backward",
        "The backward pass does not apply the mask at all.",
        "da = dh * mask",
        "nn.Dropout(p)  # leave its backward to autograd",
        (one(_not_dropped, BACKWARD),),
    ),
    Cause(
        "scaled_without_mask",
        "The gradient (or the activation as well) is scaled by 1/(1-p), but no unit is dropped.",
        "da = dh * mask  # the mask holds the 1/(1-p) and the 0",
        "nn.Dropout(p)  # leave its backward to autograd",
        (one(_scaled_alone, BACKWARD), _both(_scaled_alone)),
    ),
    Cause(
        "fresh_mask_backward",
        "The backward pass draws a new mask instead of using the forward pass's.",
        "da = dh * mask  # kept from the forward pass",
        "ctx.save_for_backward(mask)  # in an autograd.Function of your own",
        (one(_another_mask, BACKWARD),),
    ),
    Cause(
        "another_mask",
        "One side draws its own mask instead of the shared one.",
        "h = dropout(a, mask)  # the mask that was handed over",
        "recover_mask(p, state, a)  # replay torch's generator on ones",
        ((Effect(FORWARD, _another_mask), Effect(BACKWARD, _another_mask_kept)),),
    ),
    Cause(
        "dropout_missing",
        "Dropout is off in training.",
        "h = dropout(a, mask)",
        "net.train()",
        (_both(_not_dropped),),
    ),
    Cause(
        "dropout_active",
        "Dropout is on where the case has none, as in an evaluation without eval().",
        "h = a  # no mask in evaluation",
        "net.eval()",
        (
            (
                Effect(_passes_on, _uninvited_mask),
                Effect(_passes_back, _uninvited_mask),
            ),
        ),
    ),
)
