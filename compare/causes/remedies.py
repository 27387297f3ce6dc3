"""The right line of the operation at hand, and its numbers: what a report advises.

A remedy must fit the operation: tanh's slope is no help where softmax's is wrong, and a sum over
the batch has no 1/m.
"""

from collections.abc import Iterator
from typing import Any

from torch_parity.compare.flow.functions import split
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS
from torch_parity.manual.recording import defaults

Remedy = tuple[str, str]

ENTRIES = {"cross_entropy": "len(y)"}
GRADIENTS = {
    "cross_entropy": "dz = (softmax(z) - onehot(y))",
    "binary_cross_entropy_with_logits": "dz = (sigmoid(z) - y)",
    "binary_cross_entropy": "da = (a - y) / (a * (1 - a))",
    "mse_loss": "da = 2 * (a - y)",
}
STEPS = {
    "sgd": ("W = W - lr * dW", "torch.optim.SGD(params, lr={lr:.6g})"),
    "momentum": (
        "v = momentum * v + dW; W = W - lr * v",
        "torch.optim.SGD(params, lr={lr:.6g}, momentum={momentum:.6g})",
    ),
    "momentum_course": (
        "v = beta * v + (1 - beta) * dW; W = W - lr * v",
        "torch.optim.SGD(params, lr={lr:.6g} * (1 - {beta:.6g}), momentum={beta:.6g})",
    ),
    "nesterov": (
        "v = momentum * v + dW; W = W - lr * (dW + momentum * v)",
        "torch.optim.SGD(params, lr={lr:.6g}, momentum={momentum:.6g}, nesterov=True)",
    ),
    "rmsprop": (
        "W = W - lr * dW / (np.sqrt(s) + eps)",
        "torch.optim.RMSprop(params, lr={lr:.6g}, alpha={alpha:.6g}, eps={eps:.6g})",
    ),
    "adamw": (
        "W = W * (1 - lr * weight_decay) - lr * v_corrected / (np.sqrt(s_corrected) + eps)",
        "torch.optim.AdamW(params, lr={lr:.6g}, betas=({beta1:.6g}, {beta2:.6g}), eps={eps:.6g}, "
        "weight_decay={weight_decay:.6g})",
    ),
    "adam": (
        "W = W - lr * v_corrected / (np.sqrt(s_corrected) + eps)",
        "torch.optim.Adam(params, lr={lr:.6g}, betas=({beta1:.6g}, {beta2:.6g}), eps={eps:.6g})",
    ),
}


def numbers_of(node: Node, changed: Node) -> str:
    """The options in which the two differ, as a sentence: "l2 is -0.7 here, expected 0.7."."""
    return " ".join(_numbers(node, changed))


def _numbers(node: Node, changed: Node) -> Iterator[str]:
    if node.operation != changed.operation:
        return
    for name, came in changed.options.items():
        right = node.options.get(name)
        if isinstance(came, int | float) and came != right:
            expected = "" if right is None else f", expected {right:.6g}"
            yield f"{name.replace('_', ' ')} is {came:.6g} here{expected}."


def _operation(node: Node) -> str:
    """The forward operation that this node is, or takes the gradient of."""
    return split((node.forward or node).operation)[0]


def _call(node: Node, **shown: Any) -> str:
    """Its options as arguments, each after a comma."""
    return "".join(f", {n}={v!r}" for n, v in shown.items())


def of_activation(node: Node) -> Remedy:
    """The activation itself."""
    g, options = _operation(node), dict((node.forward or node).options)
    named = OPERATIONS[g].module_name
    arguments = _call(node, **options)
    return f"a = {g}(z{arguments})", f"nn.{named}({arguments.removeprefix(', ')})"


def of_slope(node: Node) -> Remedy:
    """The backward of the activation."""
    g, options = _operation(node), dict((node.forward or node).options)
    _, in_torch = of_activation(node)
    return (
        f"dz = {g}_backward(da, z{_call(node, **options)})",
        f"a = {in_torch}(z)  # and leave its slope to autograd",
    )


def of_loss(node: Node) -> Remedy:
    """The loss with its reduction."""
    loss = _operation(node)
    read = ", ".join(OPERATIONS[loss].inputs)
    return f"loss = {loss}({read}, {_options_of(node)})", _criterion(node)


def of_loss_gradient(node: Node) -> Remedy:
    """The gradient of the loss, with the 1/m of its reduction and no other."""
    loss, reduction = _operation(node), (node.forward or node).options["reduction"]
    read = OPERATIONS[loss].inputs[0]
    size = {"mean": ENTRIES.get(loss, f"{read}.size"), "batchmean": "len(y)"}.get(reduction)
    right = GRADIENTS.get(loss, f"d{read} = {loss}_backward({read}, y)")
    divided = f" / {size}" if size and loss in GRADIENTS else ""
    return right + divided, f"{_criterion(node)}({read}, y).backward()"


def _criterion(node: Node) -> str:
    return f"nn.{OPERATIONS[_operation(node)].module_name}({_options_of(node)})"


def _options_of(node: Node) -> str:
    """The reduction of a loss, and what else is not as usual."""
    of = node.forward or node
    usual = defaults(OPERATIONS[_operation(node)].forward)
    shown = {n: v for n, v in of.options.items() if n == "reduction" or v != usual.get(n)}
    return ", ".join(f'{n}="{v}"' if isinstance(v, str) else f"{n}={v!r}" for n, v in shown.items())


def of_step(node: Node) -> Remedy:
    """The optimizer's update with its constants."""
    by_hand, in_torch = STEPS[node.operation]
    return by_hand, in_torch.format(**node.options)


def of_penalty(node: Node) -> Remedy:
    """What the penalty adds to dW, with its numbers."""
    o = node.options
    terms = [f"{o['l2']:g} / {o['m']:g} * W"] if o["l2"] else []
    terms += [f"{o['l1']:g} / (2 * {o['m']:g}) * np.sign(W)"] if o["l1"] else []
    in_torch = [f"weight_decay={o['l2']:g} / {o['m']:g}"] if o["l2"] else []
    in_torch += [f"loss + {o['l1']:g} / (2 * {o['m']:g}) * W.abs().sum()"] if o["l1"] else []
    return f"dW = dW_loss + {' + '.join(terms)}", "; ".join(in_torch)


def of_penalised_cost(node: Node) -> Remedy:
    """The penalty itself, with its numbers."""
    o = node.options
    terms = [f"{o['l2']:g} / (2 * {o['m']:g}) * (W * W).sum()"] if o["l2"] else []
    terms += [f"{o['l1']:g} / (2 * {o['m']:g}) * abs(W).sum()"] if o["l1"] else []
    line = f"cost = loss + {' + '.join(terms)}  # for every W"
    return line, line.replace("abs(W)", "W.abs()")
