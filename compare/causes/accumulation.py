"""Mistakes in adding up gradients over micro-batches: what a loss counts, and what is added."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch_parity.compare.causes.cause import Cause, Effect, Evidence, by, one
from torch_parity.compare.flow.accumulated import WHOLE
from torch_parity.compare.flow.nodes import Node

IN_PARTS = {"accumulate": 3}


def _share_of_loss(node: Node, e: Evidence) -> bool:
    return node.operation == "scale" and node.outputs[0].startswith("loss_share")


def _share_of_gradient(node: Node, e: Evidence) -> bool:
    return node.operation == "scale" and WHOLE in node.inputs[0]


def _sum_of_gradients(node: Node, e: Evidence) -> bool:
    return node.operation == "accumulate_batches" and node.outputs != ("loss",)


def _all_alike(node: Node, e: Evidence) -> Iterable[Node]:
    """1 / K, where the micro-batches are not equally large."""
    count = sum(_share_of_loss(n, e) for n in e.nodes)
    if abs(node.options["factor"] * count - 1) < 1e-9:
        return []
    return [replace(node, options={"factor": 1 / count})]


_WHOLE = by(lambda f, x, factor: x * 1)


def _last(f: Any, *parts: Any) -> Any:
    return parts[-1] * 1


CAUSES = (
    Cause(
        "micro_batch_loss_not_divided",
        "The loss of a micro-batch is not divided by their number: the gradient is K times too "
        "large.",
        "dW += share * dW_k  # share = m_k / m: 1 / K of K equal micro-batches",
        "(loss / K).backward()",
        (
            (Effect(_share_of_loss, _WHOLE), Effect(_share_of_gradient, _WHOLE)),
            one(_WHOLE, _share_of_gradient),
        ),
        case=IN_PARTS,
    ),
    Cause(
        "micro_batches_weighed_alike",
        "Micro-batches of different sizes count the same: samples of the smaller ones weigh more.",
        "dW += m_k / m * dW_k",
        "(loss * len(x_k) / len(x)).backward()  # loss / K needs equal micro-batches",
        (
            (Effect(_share_of_loss, _all_alike), Effect(_share_of_gradient, _all_alike)),
            one(_all_alike, _share_of_gradient),
        ),
        case={"accumulate": 5},
    ),
    Cause(
        "last_micro_batch_alone",
        "Only the last micro-batch counts: the gradients are cleared before each of them.",
        "dW = sum(dW_k)",
        "optimizer.zero_grad()  # once a step, not once a micro-batch",
        (one(by(_last), _sum_of_gradients),),
        case=IN_PARTS,
    ),
)
