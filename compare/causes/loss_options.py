"""Mistakes in what a loss counts, and by how much: class weights, ignored samples, label smoothing,
margins, where an absolute error bends. Each is shown in the loss by itself."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.causes.cause import Cause, Change, Effect, Evidence, on, one
from torch_parity.compare.causes.loss import scaled
from torch_parity.compare.causes.remedies import of_loss
from torch_parity.compare.flow.functions import split
from torch_parity.compare.flow.nodes import Node

Options = dict[str, Any]
USUAL = (1.0, 0.5, 0.1, 0.2, 0.3, 2.0, 1 / 9)  # of beta, delta and margin
NOTHING = 1e-300  # a margin that changes no number; neither side takes 0


def _both(change: Change, loss: str) -> tuple[tuple[Effect, ...], ...]:
    """In the loss, or in its gradient, or in each."""
    return (one(change, on(loss)), one(change, on(f"{loss}_backward")))


def _with(options: Callable[[Options, Node, Evidence], Options | None]) -> Change:
    """The loss with other options; None where they make no difference."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        new = options(dict(node.options), node, e)
        return [] if new is None else [replace(node, options={**node.options, **new})]

    return change


def _labels(node: Node, e: Evidence) -> np.ndarray:
    return e.known[node.inputs[1]]


def _classes(node: Node, e: Evidence) -> int:
    return int(e.known[node.inputs[0]].shape[1])


def _smoothed_away(o: Options, node: Node, e: Evidence) -> Options | None:
    """s / (n - 1) for each wrong class and none for the right one is a smoothing of s n / (n - 1):
    of that, the right class gets its s / (n - 1) back."""
    n = _classes(node, e)
    more = o["label_smoothing"] * n / (n - 1)
    return {"label_smoothing": more} if 0 < more <= 1 else None


def _unsmoothed(o: Options, node: Node, e: Evidence) -> Options | None:
    return {"label_smoothing": 0.0} if o["label_smoothing"] else None


def _ignores(node: Node, e: Evidence) -> bool:
    """Whether this loss ignores samples that could have counted."""
    ignored = node.options["ignore_index"]
    return 0 <= ignored < _classes(node, e) and bool((_labels(node, e) == ignored).any())


def _counts_all(o: Options, node: Node, e: Evidence) -> Options | None:
    return {"ignore_index": -100} if _ignores(node, e) else None


def _counted(node: Node, e: Evidence) -> int:
    return int((_labels(node, e) != node.options["ignore_index"]).sum())


def _over_all_samples(node: Node, e: Evidence) -> float | None:
    o = node.options
    if o["reduction"] != "mean" or o["weight"] is not None:
        return None
    return _counted(node, e) / _labels(node, e).size


def _unweighted(o: Options, node: Node, e: Evidence) -> Options | None:
    return None if o["weight"] is None else {"weight": None}


def _over_their_number(node: Node, e: Evidence) -> Iterable[Node]:
    """The weighted sum over the number of samples that count."""
    if node.options["reduction"] != "mean" or node.options["weight"] is None:
        return []
    many = _counted(node, e)

    def formula(f: Any, z: Any, y: Any, **options: Any) -> Any:
        return f[node.operation](z, y, **{**options, "reduction": "sum"}) / many

    return [replace(node, formula=formula)]


def _another(option: str) -> Change:
    """One of the usual numbers."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        others = [x for x in USUAL if x != node.options[option]]
        if e.rng is not None:
            others = [e.drawn.setdefault(option, float(e.rng.choice(others)))]
        return [replace(node, options={**node.options, option: x}) for x in others]

    return change


def _bends_as(loss: str, option: str, own: str) -> Change:
    """The loss that is this one but for a factor of beta, or of delta."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        o = dict(node.options)
        if o[own] == 1:
            return []
        at = {option: o.pop(own), **o}
        return [replace(node, operation=loss + split(node.operation)[1], options=at)]

    return change


def _times_classes(node: Node, e: Evidence) -> float:
    return float(_classes(node, e))


def _right_class_counted(node: Node, e: Evidence) -> Iterable[Node]:
    """max(0, margin - z_y + z_y) = margin, for each sample."""
    margin, n = node.options["margin"], _classes(node, e)
    samples = len(_labels(node, e)) if node.options["reduction"] == "sum" else 1
    if margin <= 0:
        return []

    def formula(f: Any, z: Any, y: Any, **options: Any) -> Any:
        return f[node.operation](z, y, **options) + margin * samples / n

    return [replace(node, formula=formula)]


def _without_margin(node: Node, e: Evidence) -> Iterable[Node]:
    def formula(f: Any, *inputs: Any, **options: Any) -> Any:
        return f[node.operation](*inputs, **{**options, "margin": NOTHING})

    return [replace(node, formula=formula)]


def _swap_turned(o: Options, node: Node, e: Evidence) -> Options:
    return {"swap": not o["swap"]}


def _roles_exchanged(node: Node, e: Evidence) -> Iterable[Node]:
    def formula(f: Any, anchor: Any, positive: Any, negative: Any, **options: Any) -> Any:
        made = f[node.operation](anchor, negative, positive, **options)
        if not node.forward:
            return made
        danchor, dnegative, dpositive = made
        return danchor, dpositive, dnegative

    return [replace(node, formula=formula)]


def _squared_distances(node: Node, e: Evidence) -> Iterable[Node]:
    """|a - p|^2 - |a - n|^2 + margin, as the course and FaceNet have it."""
    if node.options["swap"]:
        return []
    m = len(e.known[node.inputs[0]])
    share = 1.0 if node.options["reduction"] == "sum" else 1 / m

    def formula(f: Any, a: Any, p: Any, n: Any, margin: float, **options: Any) -> Any:
        near, far = a - p, a - n
        left = (near * near).sum(1) - (far * far).sum(1) + margin
        if not node.forward:
            return f["relu"](left).sum() * share
        active = f["relu_backward"](left * 0 + 1, left) * (2 * share)
        to_p, to_n = near * active.reshape(-1, 1), far * active.reshape(-1, 1)
        return to_p - to_n, to_p * -1, to_n * 1

    return [replace(node, formula=formula)]


ENTROPY, HINGE, TRIPLET = "cross_entropy", "multi_margin_loss", "triplet_margin_loss"

CAUSES = (
    Cause(
        "smoothing_spares_the_right_class",
        "Label smoothing spreads its share over the wrong classes only, s / (n - 1) each.",
        "target = (1 - s) * onehot(y) + s / n  # for every class, the right one too",
        "nn.CrossEntropyLoss(label_smoothing=s)",
        _both(_with(_smoothed_away), ENTROPY),
    ),
    Cause(
        "smoothing_missing",
        "The labels are not smoothed.",
        "cross_entropy(z, y, label_smoothing=s)",
        "nn.CrossEntropyLoss(label_smoothing=s)",
        _both(_with(_unsmoothed), ENTROPY),
        remedy=of_loss,
    ),
    Cause(
        "ignored_samples_count",
        "Samples of the class ignore_index are counted like all others.",
        "losses = losses[y != ignore_index]",
        "nn.CrossEntropyLoss(ignore_index=ignore_index)",
        _both(_with(_counts_all), ENTROPY),
        remedy=of_loss,
    ),
    Cause(
        "ignored_samples_in_the_mean",
        "The mean is taken over all samples, those that are ignored as well.",
        "loss = losses[y != ignore_index].mean()",
        "nn.CrossEntropyLoss(ignore_index=ignore_index)  # divides by those that count",
        _both(scaled(_over_all_samples), ENTROPY),
    ),
    Cause(
        "class_weights_missing",
        "The loss does not weigh the classes.",
        "losses = w[y] * losses",
        "nn.CrossEntropyLoss(weight=w)",
        _both(_with(_unweighted), ENTROPY),
    ),
    Cause(
        "class_weights_not_in_the_mean",
        "The weighted losses are divided by their number, not by the sum of their weights.",
        "loss = (w[y] * losses).sum() / w[y].sum()",
        "nn.CrossEntropyLoss(weight=w)  # divides by w[y].sum()",
        _both(_over_their_number, ENTROPY),
    ),
    Cause(
        "smooth_l1_beta",
        "smooth_l1_loss bends at another beta.",
        "smooth_l1_loss(a, y, beta=1.0)  # the beta of the other side",
        "nn.SmoothL1Loss(beta=1.0)  # the beta of the other side",
        _both(_another("beta"), "smooth_l1_loss"),
    ),
    Cause(
        "huber_for_smooth_l1",
        "huber_loss is used for smooth_l1_loss, or the other way round: delta times the other.",
        "smooth_l1_loss(a, y, beta)  # = huber_loss(a, y, delta=beta) / beta",
        "nn.SmoothL1Loss(beta)  # = nn.HuberLoss(delta=beta) / beta",
        (
            *_both(_bends_as("huber_loss", "delta", "beta"), "smooth_l1_loss"),
            *_both(_bends_as("smooth_l1_loss", "beta", "delta"), "huber_loss"),
        ),
    ),
    Cause(
        "hinge_not_over_classes",
        "The hinge loss sums over the classes where torch also divides by their number.",
        "losses = np.maximum(0, margin - right + z).sum(axis=1) / z.shape[1]",
        "nn.MultiMarginLoss()  # divides by the number of classes",
        _both(scaled(_times_classes), HINGE),
    ),
    Cause(
        "hinge_counts_the_right_class",
        "The hinge loss also counts the right class, which adds the margin to each sample.",
        "short[np.arange(m), y] = 0  # before the sum",
        "nn.MultiMarginLoss()  # leaves the right class out",
        (one(_right_class_counted, on(HINGE)),),
    ),
    Cause(
        "hinge_margin",
        "The hinge loss has another margin.",
        "multi_margin_loss(z, y, margin=1.0)",
        "nn.MultiMarginLoss(margin=1.0)",
        _both(_another("margin"), HINGE),
    ),
    Cause(
        "triplet_margin",
        "The triplet loss has another margin.",
        "triplet_margin_loss(anchor, positive, negative, margin=1.0)",
        "nn.TripletMarginLoss(margin=1.0)",
        _both(_another("margin"), TRIPLET),
    ),
    Cause(
        "triplet_without_margin",
        "The triplet loss has no margin: it is 0 as soon as the positive is the nearer one.",
        "losses = np.maximum(0, near - far + margin)",
        "nn.TripletMarginLoss(margin=margin)",
        _both(_without_margin, TRIPLET),
    ),
    Cause(
        "triplet_swap",
        "One side uses swap=True (the smaller of two distances), the other does not.",
        "far = np.minimum(far, distance(positive, negative))  # with swap, and only then",
        "nn.TripletMarginLoss(swap=True)  # the default is False",
        _both(_with(_swap_turned), TRIPLET),
    ),
    Cause(
        "triplet_roles_exchanged",
        "The positive and the negative are swapped.",
        "triplet_margin_loss(anchor, positive, negative)",
        "nn.TripletMarginLoss()(anchor, positive, negative)",
        _both(_roles_exchanged, TRIPLET),
    ),
    Cause(
        "triplet_squared_distances",
        "The triplet loss takes squared distances, as the course does; torch takes their roots.",
        "near = np.sqrt(((anchor - positive) ** 2).sum(axis=1))",
        "nn.TripletMarginLoss()  # FaceNet's squares: TripletMarginWithDistanceLoss",
        _both(_squared_distances, TRIPLET),
    ),
)
