"""Mistakes in the clipping of gradients by norm."""

from typing import Any

from torch_parity.compare.causes.cause import Cause, by, on, one


def _by_value(f: Any, gradient: Any, total_norm: Any, *, max_norm: float) -> Any:
    return gradient.clip(-max_norm, max_norm)


def _by_own_norm(f: Any, gradient: Any, total_norm: Any, *, max_norm: float) -> Any:
    own = f["get_total_norm"](gradient)
    return f["clip_grads_with_norm"](gradient, own, max_norm=max_norm)


def _always(f: Any, gradient: Any, total_norm: Any, *, max_norm: float) -> Any:
    return gradient * (max_norm / (total_norm + 1e-6))


def _sum_of_norms(f: Any, *tensors: Any) -> Any:
    norms = [f["get_total_norm"](x) for x in tensors]
    total = norms[0]
    for norm in norms[1:]:
        total = total + norm
    return total


def _without_root(f: Any, *tensors: Any) -> Any:
    norm = f["get_total_norm"](*tensors)
    return norm * norm


ON_CLIP = on("clip_grads_with_norm")

CAUSES = (
    Cause(
        "not_clipped",
        "The gradients are not clipped, or only after the update.",
        "gradient * min(1, max_norm / (total_norm + 1e-6))  # before the update",
        "loss.backward(); clip_grad_norm_(net.parameters(), max_norm); optimizer.step()",
        (one(by(lambda f, gradient, total_norm, max_norm: gradient * 1), ON_CLIP),),
    ),
    Cause(
        "clip_by_value",
        "Each number of a gradient is clipped by itself, not the length of all gradients.",
        "gradient * min(1, max_norm / (total_norm + 1e-6))",
        "torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm)  # not clip_grad_value_",
        (one(by(_by_value), ON_CLIP),),
    ),
    Cause(
        "clip_by_own_norm",
        "Each gradient is shortened by its own norm, not by that of all gradients together.",
        "total_norm = get_total_norm(*gradients)  # of all of them",
        "torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm)  # one call for all",
        (one(by(_by_own_norm), ON_CLIP),),
    ),
    Cause(
        "clip_lengthens",
        "Gradients are scaled to the largest norm where they are shorter already.",
        "gradient * min(1, max_norm / (total_norm + 1e-6))  # never by more than 1",
        "torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm)",
        (one(by(_always), ON_CLIP),),
    ),
    Cause(
        "total_norm_of_norms",
        "The norm of all gradients is the sum of their norms, or the sum of their squares.",
        "total_norm = np.sqrt(sum((g * g).sum() for g in gradients))",
        "torch.nn.utils.get_total_norm(gradients)",
        (
            one(by(_sum_of_norms), on("get_total_norm")),
            one(by(_without_root), on("get_total_norm")),
        ),
    ),
)
