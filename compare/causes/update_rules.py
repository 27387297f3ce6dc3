"""Mistakes in Nesterov's momentum, RMSprop and AdamW's decay."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.causes.adam import other_epsilon
from torch_parity.compare.causes.cause import Cause, Effect, Evidence, by, on, one
from torch_parity.compare.causes.remedies import of_step
from torch_parity.compare.flow.nodes import Node

NESTEROV, RMSPROP, ADAMW = on("nesterov"), on("rmsprop"), on("adamw")


def _plain_momentum(node: Node, e: Evidence) -> Iterable[Node]:
    return [replace(node, operation="momentum")]


def _along_the_average(f: Any, W: Any, dW: Any, v: Any, lr: float, momentum: float) -> Any:
    """The look-ahead without the gradient itself."""
    v = momentum * v + dW
    return v, W - lr * (momentum * v)


def _rmsprop(divisor: Callable[[Any, Any, float], Any]) -> Callable[..., Any]:
    """RMSprop that divides the gradient by divisor(f, s, eps)."""

    def formula(
        f: Any, W: Any, dW: Any, s: Any, lr: float, alpha: float, eps: float
    ) -> tuple[Any, Any]:
        s = alpha * s + (1 - alpha) * dW**2
        return s, W - lr * dW / divisor(f, s, eps)

    return formula


def _of_the_old_average(
    f: Any, W: Any, dW: Any, s: Any, lr: float, alpha: float, eps: float
) -> Any:
    """Divided by the root of what was remembered before this step."""
    return alpha * s + (1 - alpha) * dW**2, W - lr * dW / (f["sqrt"](s) + eps)


def _alpha_reversed(node: Node, e: Evidence) -> Iterable[Node]:
    o = node.options
    return [replace(node, options={**o, "alpha": 1 - o["alpha"]})]


def _decays(node: Node, e: Evidence) -> bool:
    return ADAMW(node, e) and node.options["weight_decay"] > 0


def _spared(node: Node, e: Evidence) -> bool:
    return ADAMW(node, e) and node.options["weight_decay"] == 0


def _undecayed(node: Node, e: Evidence) -> Iterable[Node]:
    return [replace(node, options={**node.options, "weight_decay": 0.0})]


def _coupled(
    f: Any, W: Any, dW: Any, *slots: Any, weight_decay: float, **options: float
) -> tuple[Any, ...]:
    made: tuple[Any, ...] = f["adam"](W, dW + weight_decay * W, *slots, **options)
    return made


def _without_lr(
    f: Any, W: Any, dW: Any, *slots: Any, weight_decay: float, **options: float
) -> tuple[Any, ...]:
    *moments, new = f["adam"](W, dW, *slots, **options)
    return (*moments, new - weight_decay * W)


def _of_the_new_weights(
    f: Any, W: Any, dW: Any, *slots: Any, weight_decay: float, **options: float
) -> tuple[Any, ...]:
    """Adam's step first, and the decay of what it makes."""
    *moments, new = f["adam"](W, dW, *slots, **options)
    return (*moments, new * (1 - options["lr"] * weight_decay))


def _decayed_as_weights(node: Node, e: Evidence) -> Iterable[Node]:
    """A bias, or a norm's weight, with the decay that the step has for weights."""
    updates = [n for n in e.nodes if _decays(n, e)]
    decay = updates[0].options["weight_decay"] if updates else 0.0
    if not decay or not np.any(e.known[node.inputs[0]]):
        return []
    return [replace(node, options={**node.options, "weight_decay": decay})]


CAUSES = (
    Cause(
        "nesterov_missing",
        "Plain momentum is used where Nesterov's look-ahead is meant.",
        "W = W - lr * (dW + momentum * v)",
        "SGD(..., momentum=0.9, nesterov=True)",
        (one(_plain_momentum, NESTEROV),),
        case={"optimizer": "nesterov"},
        remedy=of_step,
    ),
    Cause(
        "nesterov_without_the_gradient",
        "Nesterov's step goes along momentum * v and leaves the gradient itself out.",
        "W = W - lr * (dW + momentum * v)",
        "SGD(..., momentum=0.9, nesterov=True)",
        (one(by(_along_the_average), NESTEROV),),
        case={"optimizer": "nesterov"},
        remedy=of_step,
    ),
    Cause(
        "rmsprop_epsilon_inside_the_root",
        "RMSprop's epsilon stands inside the square root, as in TensorFlow.",
        "dW / (np.sqrt(s) + eps)",
        "torch.optim.RMSprop(eps=1e-8)  # adds it outside",
        (one(by(_rmsprop(lambda f, s, eps: f["sqrt"](s + eps))), RMSPROP),),
        case={"optimizer": "rmsprop"},
    ),
    Cause(
        "rmsprop_root_missing",
        "RMSprop divides by the average of the squares, not by its root.",
        "dW / (np.sqrt(s) + eps)",
        "torch.optim.RMSprop(...)  # divides by the root",
        (one(by(_rmsprop(lambda f, s, eps: s + eps)), RMSPROP),),
        case={"optimizer": "rmsprop"},
    ),
    Cause(
        "rmsprop_old_average",
        "RMSprop divides by the average as it was before this step's gradient.",
        "s = alpha * s + (1 - alpha) * dW**2  # before the step that divides by it",
        "torch.optim.RMSprop(...)  # updates square_avg first",
        (one(by(_of_the_old_average), RMSPROP),),
        case={"optimizer": "rmsprop"},
    ),
    Cause(
        "rmsprop_alpha_reversed",
        "RMSprop's alpha is the share of the new square, not of the old average.",
        "s = alpha * s + (1 - alpha) * dW**2",
        "torch.optim.RMSprop(alpha=beta)  # the course's beta, near 1",
        (one(_alpha_reversed, RMSPROP),),
        case={"optimizer": "rmsprop"},
        remedy=of_step,
    ),
    Cause(
        "rmsprop_another_epsilon",
        "RMSprop's epsilon is another one.",
        "np.sqrt(s) + eps  # eps = 1e-8, unless the case says otherwise",
        "torch.optim.RMSprop(eps=1e-8)",
        (one(other_epsilon, RMSPROP),),
        case={"optimizer": "rmsprop"},
        remedy=of_step,
        tuned=True,
    ),
    Cause(
        "adamw_decay_in_the_gradient",
        "AdamW's decay is added to the gradient, as Adam's L2: it passes through the moments.",
        "W = W * (1 - lr * weight_decay)  # and dW as the loss gives it",
        "torch.optim.AdamW(..., weight_decay=...)  # not Adam",
        (one(by(_coupled), _decays),),
        case={"optimizer": "adamw"},
        remedy=of_step,
    ),
    Cause(
        "adamw_decay_missing",
        "AdamW does not decay the weights.",
        "W = W * (1 - lr * weight_decay)",
        "torch.optim.AdamW(..., weight_decay=...)  # its default is 0.01",
        (one(_undecayed, _decays),),
        case={"optimizer": "adamw"},
        remedy=of_step,
    ),
    Cause(
        "adamw_decay_without_lr",
        "AdamW's decay is not multiplied by the learning rate.",
        "W = W * (1 - lr * weight_decay)",
        "torch.optim.AdamW(...)  # as the paper has it: weight_decay / lr",
        (one(by(_without_lr), _decays),),
        case={"optimizer": "adamw"},
        remedy=of_step,
    ),
    Cause(
        "adamw_decay_after_the_step",
        "AdamW decays the weights after Adam's step instead of before it.",
        "W = W * (1 - lr * weight_decay)  # then W - lr * v_corrected / ...",
        "torch.optim.AdamW(...)  # decays first",
        (one(by(_of_the_new_weights), _decays),),
        case={"optimizer": "adamw"},
        remedy=of_step,
    ),
    Cause(
        "adamw_biases_decayed",
        "AdamW decays biases, or the weights of norms, as well.",
        "W * (1 - lr * weight_decay)  # of weights only",
        '[{"params": weights}, {"params": biases_and_norms, "weight_decay": 0}]',
        ((Effect(_spared, _decayed_as_weights),),),
        case={"optimizer": "adamw"},
    ),
)
