"""Mistakes around weights and biases: layout, axes, and which version of them is used."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from torch_parity.compare.causes.cause import (
    Cause,
    Change,
    Effect,
    Evidence,
    by,
    is_loss,
    on,
    one,
    read_also,
)
from torch_parity.compare.causes.layers import (
    BACKWARD,
    BIAS_GRADIENT,
    BIASED,
    LINEAR,
    PARAMETERS,
    of_parameters,
    on_parameters,
)
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS
from torch_parity.manual.names import unclipped


def _not_transposed(f: Any, x: Any, W: Any, *b: Any) -> Any:
    """x @ W for a square W; otherwise the shape that fits, which is not the transpose."""
    z = x @ W.reshape((W.shape[1], W.shape[0]))
    return z + b[0] if b else z


def _dx_by(weights: Callable[[Any], Any]) -> Change:
    """dx through other weights; dW and db as they are."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        def formula(f: Any, dz: Any, x: Any, W: Any) -> Any:
            _, *others = f[node.operation](dz, x, W)
            return (dz @ weights(W), *others)

        return [replace(node, formula=formula)]

    return change


def _bias_over_samples_less_one(dz: Any, x: Any, dW: Any, db: Any) -> tuple[Any, Any]:
    m = dz.shape[0]
    return dW, db * (m / (m - 1)) if m > 1 else db


def _before_dropout(node: Node, e: Evidence) -> Iterable[Node]:
    """dW = dz.T @ a instead of dz.T @ h."""
    made = e.graph.maker(node.inputs[1])
    if made is None or made.operation != "dropout":
        return []
    a = made.inputs[0]
    if a not in e.known and e.rng is None:
        return []
    return [replace(node, inputs=(node.inputs[0], a, *node.inputs[2:]))]


def _makes_scores(node: Node, e: Evidence) -> bool:
    """The layer whose z the output's activation, or the loss, reads."""
    read = e.graph.readers(node.outputs[0])
    return LINEAR(node, e) and any(is_loss(n, e) or e.graph.feeds_the_loss(n) for n in read)


def _reads_scores(node: Node, e: Evidence) -> bool:
    """What makes the probabilities or the loss of the scores; a plain copy of them does not."""
    if node.operation == "identity" or node.forward is not None:
        return False
    return e.graph.feeds_the_loss(node) if e.graph.activates(node) else _of_scores(node, e)


def _of_scores(loss: Node, e: Evidence) -> bool:
    """Whether a loss takes scores."""
    return is_loss(loss, e) and OPERATIONS[loss.operation].inputs[0] == "z"


def _back_to_scores(node: Node, e: Evidence) -> bool:
    return node.forward is not None and _reads_scores(node.forward, e)


def _times(factor: float) -> Change:
    def change(node: Node, e: Evidence) -> Iterable[Node]:
        def formula(f: Any, *inputs: Any, factor: float) -> Any:
            return f[node.operation](*inputs) * factor

        return [replace(node, formula=formula, options={"factor": factor})]

    return change


def _read_scaled(factor: float) -> Change:
    """The operation at factor * z; its gradient without the factor that the chain rule brings."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        at = node.inputs.index((node.forward or node).inputs[0])

        def formula(f: Any, *inputs: Any, factor: float, **options: Any) -> Any:
            scaled = (x * factor if i == at else x for i, x in enumerate(inputs))
            return f[node.operation](*scaled, **options)

        def by_the_chain_rule(f: Any, *inputs: Any, factor: float, **options: Any) -> Any:
            return formula(f, *inputs, factor=factor, **options) * factor

        options = {**node.options, "factor": factor}
        found = [replace(node, formula=formula, options=options)]
        if node.forward is not None:
            found = [replace(node, formula=by_the_chain_rule, options=options), *found]
        return found

    return change


def _updated_weights(node: Node, e: Evidence) -> Iterable[Node]:
    def formula(f: Any, dz: Any, x: Any, W: Any, new_W: Any) -> Any:
        _, *others = f[node.operation](dz, x, W)
        return (dz @ new_W, *others)

    return [read_also(node, formula, f"new_{node.inputs[2]}")]


def _reads_parameters_later(node: Node, e: Evidence) -> bool:
    return not e.graph.parameters.isdisjoint(node.inputs) and not LINEAR(node, e)


def _moved_weights(node: Node, e: Evidence) -> Iterable[Node]:
    """The other side's new parameters, where this side's old ones should be."""
    moved = tuple(f"other_{n}" if n in e.graph.parameters else n for n in node.inputs)
    return [replace(node, inputs=moved)] if all(n in e.known for n in moved) or e.rng else []


def _stale(node: Node, e: Evidence) -> Iterable[Node]:
    """What backward made, and on top of it what the last step left in .grad."""
    previous = tuple(map(_left_in_grad, of_parameters(node)))
    if not all(name in e.known for name in previous):
        return []
    n = len(node.inputs)

    def formula(f: Any, *inputs: Any) -> Any:
        made = f[node.operation](*inputs[:n])
        many = made if isinstance(made, tuple) else (made,)
        at = len(many) - len(previous)
        return (*many[:at], *(new + old for new, old in zip(many[at:], inputs[n:], strict=True)))

    return [read_also(node, formula, *previous)]


def _left_in_grad(name: str) -> str:
    """What the last step left where this gradient is made: what it clipped, if it clips."""
    return f"previous_{name.removesuffix(unclipped(''))}"


def _stale_sum(node: Node, e: Evidence) -> Iterable[Node]:
    """The gradients of all micro-batches, and what the last step left in .grad."""
    previous = _left_in_grad(node.outputs[0])
    if previous not in e.known:
        return []
    return [read_also(node, lambda f, *parts: f[node.operation](*parts), previous)]


CAUSES = (
    Cause(
        "weights_not_transposed",
        "W is used as it lies, or reshaped, where its transpose is meant.",
        "z = x @ W.T + b  # W is (n_out, n_in)",
        "linear.weight.copy_(W)  # (out, in) in both; W.T for a (in, out) layout",
        (one(by(_not_transposed), LINEAR),),
    ),
    Cause(
        "weights_transposed_backward",
        "The gradient goes back through the transposed (or reshaped) weights.",
        "dx = dz @ W",
        "z = nn.functional.linear(x, W, b)  # leave the backward to autograd",
        (one(_dx_by(lambda W: W.T.reshape(W.shape)), BACKWARD),),
    ),
    Cause(
        "bias_missing",
        "The bias is not added.",
        "z = x @ W.T + b",
        "nn.Linear(n_in, n_out, bias=True)",
        (one(by(lambda f, x, W, b: x @ W.T), BIASED),),
    ),
    Cause(
        "bias_subtracted",
        "The bias is subtracted instead of added.",
        "z = x @ W.T + b",
        "nn.Linear(n_in, n_out, bias=True)  # adds it",
        (one(by(lambda f, x, W, b: x @ W.T - b), BIASED),),
    ),
    Cause(
        "scores_scaled",
        "The last layer's scores z are halved or doubled before they are used.",
        "z = x @ W.T + b  # and the loss, or the output's activation, takes z as it is",
        "criterion(z, y)  # without a temperature",
        (
            one(_times(0.5), _makes_scores),
            one(_times(2.0), _makes_scores),
            *(
                (Effect(_reads_scores, _read_scaled(x)), Effect(_back_to_scores, _read_scaled(x)))
                for x in (0.5, 2.0)
            ),
            *(one(_read_scaled(x), _reads_scores) for x in (0.5, 2.0)),
            *(one(_read_scaled(x), _back_to_scores) for x in (0.5, 2.0)),
        ),
    ),
    Cause(
        "bias_gradient_over_the_wrong_axis",
        "The bias gradient is summed over the units instead of over the samples.",
        "db = dz.sum(axis=0)",
        "b.grad  # autograd sums over the batch, dim 0",
        (one(on_parameters(lambda dz, x, dW, db: (dW, dz.sum(axis=1))), BIAS_GRADIENT),),
    ),
    Cause(
        "bias_gradient_over_m_minus_1",
        "The bias gradient is averaged over m - 1 samples instead of m.",
        "db = dz.sum(axis=0)  # dz carries 1/m",
        "b.grad  # autograd needs no degrees of freedom",
        (one(on_parameters(_bias_over_samples_less_one), BIAS_GRADIENT),),
    ),
    Cause(
        "gradient_before_dropout",
        "dW is taken with the activations before dropout, not with what the layer was given.",
        "dW = dz.T @ h",
        "z = linear(h)  # the dropped-out tensor",
        (one(_before_dropout, PARAMETERS),),
    ),
    Cause(
        "already_updated_weights",
        "The gradient goes back through weights that this step has updated already.",
        "grads = backward(...)  # all layers, and only then update(...)",
        "loss.backward(); optimizer.step()  # in that order, once",
        (one(_updated_weights, BACKWARD),),
    ),
    Cause(
        "shared_memory",
        "The other side's update has moved this side's parameters: they share memory.",
        "W = W - lr * dW  # not W -= lr * dW on an array that somebody else holds",
        "torch.tensor(W)  # copies; torch.from_numpy(W) does not",
        ((Effect(LINEAR, _moved_weights), Effect(_reads_parameters_later, _moved_weights)),),
    ),
    Cause(
        "stale_gradients",
        "The gradients of the last step were not cleared, so they add up.",
        "dW = dz.T @ h  # not dW +=",
        "optimizer.zero_grad()",
        (one(_stale, PARAMETERS), one(_stale_sum, on("accumulate_batches"))),
    ),
)
