"""Mistakes around sums: shortcuts, and tensors that are read several times."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from torch_parity.compare.causes.cause import Cause, Change, Effect, Evidence, Where, by, on, one
from torch_parity.compare.flow.nodes import Node

ACCUMULATE = on("accumulate")


def _shortcut(add: Node, e: Evidence) -> int | None:
    """Which term of a sum something else reads as well; None where it is none, or both."""
    others = [sum(1 for n in e.graph.readers(name) if n.forward is None) > 1 for name in add.inputs]
    return others.index(True) if others.count(True) == 1 else None


def _with(found: Callable[[Node, Evidence], Any], where: Where) -> Where:
    """The sums, or their backward, for which something is found."""
    return lambda node, e: where(node, e) and found(node.forward or node, e) is not None


# those that end a block with a shortcut
ADD, ADD_BACKWARD = _with(_shortcut, on("add")), _with(_shortcut, on("add_backward"))


def _changed(node: Node, forward: Callable[..., Any], backward: Callable[..., Any]) -> list[Node]:
    return [replace(node, formula=backward if node.forward else forward)]


def _doubled(node: Node, e: Evidence) -> Iterable[Node]:
    at = _shortcut(node.forward or node, e)
    assert at is not None

    def forward(f: Any, *terms: Any) -> Any:
        return terms[0] + terms[1] + terms[at]

    def backward(f: Any, *inputs: Any) -> Any:
        shares = f["add_backward"](*inputs)
        return tuple(2 * share if i == at else share for i, share in enumerate(shares))

    return _changed(node, forward, backward)


def _shares(through_shortcut: bool, weight: float) -> Change:
    """The gradient of a tensor with one reader's share left out, or counted again."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        which = [
            i for i, name in enumerate(node.inputs) if _is_shortcut(name, e) == through_shortcut
        ]
        if e.rng is not None and which:
            which = [which[int(e.rng.integers(len(which)))]]
        return [replace(node, formula=_weighed(i, weight)) for i in which]

    return change


def _is_shortcut(share: str, e: Evidence) -> bool:
    made = e.graph.maker(share)
    return made is not None and made.operation == "add_backward"


def _weighed(which: int, weight: float) -> Callable[..., Any]:
    def formula(f: Any, *shares: Any) -> Any:
        kept = [
            weight * s if i == which else s for i, s in enumerate(shares) if weight or i != which
        ]
        return f["accumulate"](*kept) * 1

    return formula


def _has(through_shortcut: bool) -> Where:
    def some(node: Node, e: Evidence) -> bool:
        shares = (_is_shortcut(name, e) == through_shortcut for name in node.inputs)
        return ACCUMULATE(node, e) and any(shares)

    return some


def _activation_after(add: Node, e: Evidence) -> Node | None:
    """The activation that reads a sum, if there is one that changes something."""
    read = (n for n in e.graph.readers(add.outputs[0]) if e.graph.activates(n))
    return next((n for n in read if n.operation != "identity"), None)


def _activated_first(node: Node, e: Evidence) -> Iterable[Node]:
    """x + g(branch), where g(x + branch) is meant."""
    add = node.forward or node
    g, at = _activation_after(add, e), _shortcut(add, e)
    assert g is not None
    assert at is not None
    name, options, branch = g.operation, dict(g.options), 1 - at

    def forward(f: Any, *terms: Any) -> Any:
        return terms[at] + f[name](terms[branch], **options)

    def backward(f: Any, dout: Any, *terms: Any) -> Any:
        slope = f[f"{name}_backward"](dout, terms[branch], **options)
        return (slope, dout * 1) if at else (dout * 1, slope)

    return _changed(node, forward, backward)


def _after_a_shortcut(node: Node, e: Evidence) -> bool:
    made = e.graph.maker(node.inputs[0])
    return made is not None and e.graph.activates(node) and ADD(made, e)


def _back_to_a_shortcut(node: Node, e: Evidence) -> bool:
    return node.forward is not None and _after_a_shortcut(node.forward, e)


def _scale_of(add: Node, e: Evidence) -> Node | None:
    """The scale on the branch of a sum, where it scales."""
    at = _shortcut(add, e)
    made = None if at is None else e.graph.maker(add.inputs[1 - at])
    scales = made is not None and made.operation == "scale" and made.options["factor"] != 1
    return made if scales else None


def _scales_a_branch(node: Node, e: Evidence) -> bool:
    of = node.forward or node
    if of.operation != "scale":
        return False
    sums = (n for n in e.graph.readers(of.outputs[0]) if n.operation == "add")
    return any(_scale_of(n, e) is of for n in sums)


def _scaled_shortcut(node: Node, e: Evidence) -> Iterable[Node]:
    """s x + branch, where x + s branch is meant."""
    add = node.forward or node
    at, scale = _shortcut(add, e), _scale_of(add, e)
    assert at is not None
    assert scale is not None
    factor = scale.options["factor"]

    def forward(f: Any, *terms: Any) -> Any:
        return f["scale"](terms[at], factor=factor) + terms[1 - at]

    def backward(f: Any, *inputs: Any) -> Any:
        shares = f["add_backward"](*inputs)
        return tuple(factor * s if i == at else s for i, s in enumerate(shares))

    return _changed(node, forward, backward)


_UNCHANGED = by(lambda f, x, **options: x * 1)

CAUSES = (
    Cause(
        "shortcut_gradient_missing",
        "The gradient goes back through the block alone: the shortcut's share is forgotten.",
        "dh = dh_shortcut + dh_branch",
        "h + branch(h)  # without h.detach() or torch.no_grad()",
        (one(_shares(True, 0), _has(True)),),
    ),
    Cause(
        "shortcut_gradient_twice",
        "The shortcut's share of the gradient is added twice.",
        "dh = dh_shortcut + dh_branch  # each share once",
        "h + branch(h)  # and leave its backward to autograd",
        (one(_shares(True, 2), _has(True)),),
    ),
    Cause(
        "gradient_share_missing",
        "A tensor is read several times, and the share of one reader in its gradient is forgotten.",
        "dh = dh_1 + dh_2  # one share for each place that reads h",
        "f(h), g(h)  # without h.detach() or torch.no_grad()",
        (one(_shares(False, 0), _has(False)),),
    ),
    Cause(
        "gradient_share_twice",
        "A tensor is read several times, and the share of one reader is added twice.",
        "dh = dh_1 + dh_2  # each share once",
        "f(h), g(h)  # and leave the backward to autograd",
        (one(_shares(False, 2), _has(False)),),
    ),
    Cause(
        "shortcut_added_twice",
        "The shortcut is added twice, forward and backward.",
        "t = h + branch",
        "h + self.block(h)  # the block itself must not add h again",
        ((Effect(ADD, _doubled), Effect(ADD_BACKWARD, _doubled)), one(_doubled, ADD)),
    ),
    Cause(
        "activation_before_the_sum",
        "The activation is applied to the branch before the sum instead of to the sum.",
        "h = relu(h + branch)  # or the block's own activation",
        "h = self.act(h + self.branch(h))",
        (
            (
                Effect(_with(_activation_after, ADD), _activated_first),
                Effect(_after_a_shortcut, _UNCHANGED),
                Effect(_back_to_a_shortcut, by(lambda f, da, z, **options: da * 1)),
                Effect(_with(_activation_after, ADD_BACKWARD), _activated_first),
            ),
        ),
    ),
    Cause(
        "shortcut_scaled",
        "The shortcut is scaled instead of the branch.",
        "t = h + s * branch",
        "h + self.scale(branch)  # not self.scale(h) + branch",
        (
            (
                Effect(_with(_scale_of, ADD), _scaled_shortcut),
                Effect(_scales_a_branch, _UNCHANGED),
                Effect(_with(_scale_of, ADD_BACKWARD), _scaled_shortcut),
            ),
        ),
    ),
    Cause(
        "branch_unscaled",
        "The branch of a block is added without its scale.",
        "t = h + s * branch",
        "h + self.scale(branch)",
        (one(_UNCHANGED, _scales_a_branch),),
    ),
)
