"""Mistakes in recurrent networks: gates, biases, states, and gradients through time.

The judge of torch modules names some of them as well, by the same names (aten/causes/).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch_parity.compare.causes.cause import (
    Cause,
    Change,
    Effect,
    Evidence,
    Where,
    one,
    read_also,
)
from torch_parity.compare.flow.functions import split
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS
from torch_parity.manual.recording import input_names

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
# Other orders than torch's i, f, g, o and r, z, n: the course's, ONNX's, Keras's of the GRU...
ORDERS = {
    "lstm": ((1, 0, 2, 3), (0, 3, 1, 2), (1, 0, 3, 2), (0, 1, 3, 2), (0, 2, 1, 3)),
    "gru": ((1, 0, 2),),
}
Blocks = Callable[[str, list[Any]], list[Any]]


def _kind(node: Node) -> str:
    """lstm, of lstm and lstm_cell and their backward."""
    return split(node.operation)[0].removesuffix("_cell")


def _is(*kinds: str, backward: bool, cells: bool = True, through_time: bool = True) -> Where:
    """The forward or the backward of these networks, cells and what runs them through time."""

    def where(node: Node, e: Evidence) -> bool:
        name, suffix = split(node.operation)
        wanted = cells if name.endswith("_cell") else through_time
        return wanted and _kind(node) in kinds and bool(suffix) == backward

    return where


def _with_names(node: Node, formula: Callable[[Any, dict[str, Any]], Any]) -> Node:
    """The node by a formula of what it is given, by the register's names: all parameters too."""
    row = OPERATIONS[split(node.operation)[0]]
    names = input_names(row.backward if node.forward else row.forward)
    absent = [name for name in PARAMETERS if name not in names]
    inputs = node.forward.inputs if node.forward else ()
    also = [inputs[row.inputs.index(name)] for name in absent]

    def called(f: Any, *given: Any) -> Any:
        return formula(f, dict(zip((*names, *absent), given, strict=True)))

    return read_also(node, called, *also)


def _by_gates(change: Blocks, undo: Blocks | None = None) -> Change:
    """The same network with other parameters: change(name, its rows by gate) of each of the four.
    undo takes their gradients back, where it is not the same."""

    def changed(node: Node, e: Evidence) -> Iterable[Node]:
        gates = GATES[_kind(node)]

        def of(f: Any, name: str, parameter: Any, how: Blocks) -> Any:
            n = parameter.shape[0] // gates
            blocks = [parameter[i * n : (i + 1) * n] for i in range(gates)]
            return f["cat"](*how(name, blocks), dim=0)

        def formula(f: Any, at: dict[str, Any]) -> Any:
            at |= {name: of(f, name, at[name], change) for name in PARAMETERS}
            if not node.forward:
                return f[node.operation](*at.values())
            made = _step_by_step(f, node, at) if "output" in at else f[node.operation](*at.values())
            gradients = zip(PARAMETERS, made[-4:], strict=True)
            return (*made[:-4], *(of(f, name, g, undo or change) for name, g in gradients))

        return [_with_names(node, formula)]

    return changed


def _reordered(node: Node, e: Evidence) -> Iterable[Node]:
    orders = ORDERS[_kind(node)]
    if e.rng is not None:
        orders = (orders[e.drawn.setdefault(_kind(node), int(e.rng.integers(len(orders))))],)
    for order in orders:
        back = [order.index(i) for i in range(len(order))]
        yield from _by_gates(
            lambda name, blocks, order=order: [blocks[i] for i in order],  # type: ignore[misc]
            lambda name, blocks, back=back: [blocks[i] for i in back],  # type: ignore[misc]
        )(node, e)


def _without(names: Sequence[str], *gates: int) -> Change:
    """These parameters are 0, of these gates or of all."""

    def change(name: str, blocks: list[Any]) -> list[Any]:
        off = gates or range(len(blocks))
        return [x * 0 if name in names and i in off else x for i, x in enumerate(blocks)]

    return _by_gates(change)


# 1 - sigmoid(z) is sigmoid(-z)
_kept_and_renewed = _by_gates(lambda name, blocks: [blocks[0], -blocks[1], blocks[2]])


def _cells(f: Any, node: Node, at: dict[str, Any]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Of each step its input and the states that it starts from, each from the one before."""
    cell, own = _kind(node) + "_cell", [at[name] for name in PARAMETERS]
    states = _first_states(at)
    for t in range(at["input"].shape[1]):
        x = at["input"][:, t]
        yield x, states
        made = f[cell](x, *states, *own)
        states = made if isinstance(made, tuple) else (made,)
        if "output" in at:
            states = (at["output"][:, t], *states[1:])


def _sequence(f: Any, steps: Sequence[Any]) -> Any:
    return f["cat"](*(x.reshape((x.shape[0], 1, x.shape[1])) for x in steps), dim=1)


def _alone(node: Node, e: Evidence) -> Iterable[Node]:
    """Each step starts from the first state."""

    def forward(f: Any, at: dict[str, Any]) -> Any:
        states, own = _first_states(at), [at[name] for name in PARAMETERS]
        cell = f[_kind(node) + "_cell"]
        made = [cell(at["input"][:, t], *states, *own) for t in range(at["input"].shape[1])]
        made = [x if isinstance(x, tuple) else (x,) for x in made]
        return _sequence(f, [h for h, *_ in made]), *made[-1]

    def backward(f: Any, at: dict[str, Any]) -> Any:
        return _step_by_step(f, node, at, alone=True)

    return [_with_names(node, backward if node.forward else forward)]


def _through_time(**how: Any) -> Change:
    """The backward step by step; see _step_by_step."""

    def changed(node: Node, e: Evidence) -> Iterable[Node]:
        return [_with_names(node, lambda f, at: _step_by_step(f, node, at, **how))]

    return changed


def _step_by_step(
    f: Any,
    node: Node,
    at: dict[str, Any],
    handed_on: tuple[bool, bool] = (True, True),
    only: int | None = None,
    alone: bool = False,
) -> tuple[Any, ...]:
    """The backward through time by that of the cells. handed_on: whether the gradients of h and c
    are; only: the one step that is left in the parameters' gradients, in the order in which they
    are computed; alone: whether each step started from the first state."""
    own = [at[name] for name in PARAMETERS]
    last = [at[name] for name in ("dh_n", "dc_n") if name in at]
    upstream, dinput = last, []
    of_states: list[Any] = []
    of_parameters: list[Any] = []
    steps = list(_cells(f, node, at))
    for t in reversed(range(len(steps))):
        x, states = steps[t]
        arriving = upstream[0] + at["doutput"][:, t], *upstream[1:]
        states = _first_states(at) if alone else states
        dx, *found = f[_kind(node) + "_cell_backward"](*arriving, x, *states, *own)
        dinput.append(dx)
        of_states.append(found[: len(states)])
        of_parameters.append(found[len(states) :])
        kept = (False, False) if alone else handed_on
        pairs = zip(of_states[-1], kept, strict=False)
        upstream = [d if keeps else d * 0 for d, keeps in pairs]
    first = _total(of_states) if alone else of_states[-1]
    parameters = _total(of_parameters if only is None else [of_parameters[only]])
    return _sequence(f, dinput[::-1]), *first, *parameters


def _total(gradients: Sequence[Sequence[Any]]) -> list[Any]:
    total = list(gradients[0])
    for more in gradients[1:]:
        total = [a + b for a, b in zip(total, more, strict=True)]
    return total


def _first_states(at: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(at[name] for name in ("h_0", "c_0") if name in at)


def _unkept_memory(node: Node, e: Evidence) -> Iterable[Node]:
    """dc_next is not added to what comes from h_next."""

    def formula(f: Any, dh: Any, dc: Any, *given: Any) -> Any:
        return f["lstm_cell_backward"](dh, dc * 0, *given)

    return [replace(node, formula=formula)]


def _plain_memory(node: Node, e: Evidence) -> Iterable[Node]:
    """h = o c, without the tanh."""

    def step(f: Any, x: Any, h: Any, c: Any, *own: Any) -> tuple[Any, Any]:
        """o is h / tanh(c), which is exact where c is not 0: so it is computed from its own rows"""
        _, c_next = f["lstm_cell"](x, h, c, *own)
        n = c.shape[1]
        w_ih, w_hh, b_ih, b_hh = (p[3 * n :] for p in own)
        o = f["sigmoid"](f["linear"](x, w_ih, b_ih) + f["linear"](h, w_hh, b_hh))
        return o * c_next, c_next

    def cell(f: Any, *given: Any) -> Any:
        return step(f, *given)

    def whole(f: Any, x: Any, h: Any, c: Any, *own: Any) -> Any:
        made = []
        for t in range(x.shape[1]):
            h, c = step(f, x[:, t], h, c, *own)
            made.append(h)
        return _sequence(f, made), h, c

    return [replace(node, formula=cell if node.operation == "lstm_cell" else whole)]


def _reset_before(node: Node, e: Evidence) -> Iterable[Node]:
    """n = tanh(a_n + (r h) @ W_n.T + b_n), as the course and Keras have it."""

    def step(f: Any, x: Any, h: Any, *own: Any) -> Any:
        n = h.shape[1]
        (r, z, new), (w_r, w_z, w_n) = (
            [[p[i * n : (i + 1) * n] for p in pair] for i in range(3)]
            for pair in ((own[0], own[2]), (own[1], own[3]))
        )
        linear, sigmoid = f["linear"], f["sigmoid"]
        reset = sigmoid(linear(x, *r) + linear(h, *w_r))
        kept = sigmoid(linear(x, *z) + linear(h, *w_z))
        made = f["tanh"](linear(x, *new) + linear(reset * h, *w_n))
        return made + kept * (h - made)

    def whole(f: Any, x: Any, h: Any, *own: Any) -> Any:
        made = []
        for t in range(x.shape[1]):
            h = step(f, x[:, t], h, *own)
            made.append(h)
        return _sequence(f, made), h

    return [replace(node, formula=step if node.operation == "gru_cell" else whole)]


def _ways(change: Change, *kinds: str, cells: bool = True) -> tuple[tuple[Effect, ...], ...]:
    """In the forward alone, in both, or in the backward alone."""
    forward, backward = (_is(*kinds, backward=b, cells=cells) for b in (False, True))
    return (
        one(change, forward),
        (Effect(forward, change), Effect(backward, change)),
        one(change, backward),
    )


ALL = ("lstm", "gru", "rnn")
LSTM_CELL = _is("lstm", backward=True, through_time=False)


def _backwards(*kinds: str) -> Where:
    return _is(*kinds, backward=True, cells=False)


CAUSES = (
    Cause(
        "gates_swapped",
        "The gates stand in another order than torch's i, f, g, o (LSTM) or r, z, n (GRU).",
        "i, f, g, o = np.split(z, 4, axis=-1)  # GRU: r, z, n",
        "i, f, g, o = z.chunk(4, -1)  # GRU: r, z, n",
        _ways(_reordered, "lstm", "gru"),
    ),
    Cause(
        "forget_bias_omitted",
        "The forget gate of an LSTM has no bias.",
        "f = sigmoid(x @ W_if.T + b_if + h @ W_hf.T + b_hf)",
        "nn.LSTM(n_in, n)  # its biases hold n numbers for each of i, f, g, o",
        _ways(_without(("bias_ih", "bias_hh"), 1), "lstm"),
    ),
    Cause(
        "recurrent_bias_omitted",
        "The second bias, that of the state, is left out.",
        "z = x @ W_ih.T + b_ih + h @ W_hh.T + b_hh",
        "nn.LSTM(n_in, n)  # load bias_hh_l0 as well, or the sum of both into bias_ih_l0",
        _ways(_without(("bias_hh",)), *ALL),
    ),
    Cause(
        "cell_tanh_missing",
        "The LSTM's output uses the memory c without the tanh.",
        "h = o * np.tanh(c)",
        "h = o * torch.tanh(c)",
        (one(_plain_memory, _is("lstm", backward=False)),),
    ),
    Cause(
        "gru_reset_before_product",
        "A GRU resets the state before the linear map, as the course does; torch resets after it.",
        "n = np.tanh(x @ W_in.T + b_in + r * (h @ W_hn.T + b_hn))",
        "nn.GRUCell(n_in, n)  # by hand: torch.tanh(a_n + r * b_n)",
        (one(_reset_before, _is("gru", backward=False)),),
    ),
    Cause(
        "gru_update_reversed",
        "The GRU's update gate is reversed: z and 1 - z are swapped.",
        "h = (1 - z) * n + z * h  # the course's update gate is 1 - z",
        "nn.GRUCell(n_in, n)  # z keeps; negate the rows of z in weights that renew with it",
        _ways(_kept_and_renewed, "gru"),
    ),
    Cause(
        "state_not_carried",
        "Each step starts from the first state, not from the one before it.",
        "h, c = lstm_cell(x[:, t], h, c, *weights)  # in the loop over t",
        "h, c = cell(x[:, t], (h, c))  # in the loop over t",
        _ways(_alone, *ALL, cells=False),
    ),
    Cause(
        "time_gradient_truncated",
        "No gradient passes from one step to the step before it.",
        "dh = doutput[:, t] + dz @ W_hh  # dz of the step after it",
        "h, c = cell(x[:, t], (h, c))  # without detach() between the steps",
        (one(_through_time(handed_on=(False, False)), _backwards(*ALL)),),
    ),
    Cause(
        "memory_gradient_lost",
        "The gradient of an LSTM's memory is not handed on: dc has no share of the next step.",
        "dc = dc_next + dh * o * (1 - np.tanh(c) ** 2); dc_before = dc * f",
        "h, c = cell(x[:, t], (h, c))  # without detach() of c",
        (
            one(_unkept_memory, LSTM_CELL),
            one(_through_time(handed_on=(True, False)), _backwards("lstm")),
        ),
    ),
    Cause(
        "time_gradients_not_summed",
        "The weights' gradients are those of one step, not the sum over all steps.",
        "dW += dz.T @ x  # for every step; dW = dz.T @ x keeps one",
        "output, _ = lstm(x)  # and leave the gradients to autograd, which sums over the steps",
        (
            one(_through_time(only=-1), _backwards(*ALL)),
            one(_through_time(only=0), _backwards(*ALL)),
        ),
    ),
)
