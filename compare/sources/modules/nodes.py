"""Which operation of the register a torch module's call is, so that the judge can replay it.

Only what is certain becomes a node: a call whose options the register covers, and of its gradients
those that no other branch adds to. The rest is compared, and said to be.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS, Operation
from torch_parity.compare.sources.modules.recorder import Call, Edge, Recorder, edge
from torch_parity.manual.recording import input_names, option_names

# (operation, options), or why the call is none of the register's
Described = tuple[str, dict[str, Any]] | str


def nodes_of(
    recorder: Recorder, used: Mapping[Edge, int], loss: Call | None
) -> tuple[list[Node], list[str]]:
    """The nodes of every call, forward and then backward, and which calls have none.

    used says how many gradients arrive at an edge; loss is the call that ends in the loss.
    """
    forward: list[Node] = []
    backward: list[Node] = []
    notes = []
    for call in recorder.calls:
        described = describe(call, recorder)
        if isinstance(described, str):
            why = f" ({described})" if described else ""
            notes.append(f"{call.name}, a {kind(call.module)}: compared, not judged{why}.")
            continue
        extra = _extra(call, recorder)
        forward.append(_forward(call, described, extra))
        made = _backward(call, described, extra, recorder, used, call is loss)
        backward[:0] = [made] if made is not None else []
    return forward + backward, notes


def kind(module: Any) -> str:
    """What to call a module, or the function that is a loss."""
    return getattr(module, "__name__", type(module).__name__)


def describe(call: Call, recorder: Recorder) -> Described:
    """The operation that the call is."""
    row = row_of(call.module)
    flattens = type(call.module) is nn.Flatten
    if row is None and not flattens:
        return ""
    wanted = 2 if row is not None and row.is_loss else 1
    if len(call.inputs) != wanted or len(call.outputs) != 1:
        return "not called in the usual way"
    names = (*call.inputs, *call.outputs, *_extra(call, recorder))
    if any(name in recorder.lowered for name in names):
        return "computed in fewer digits than float32 has"
    if not all(name in recorder.given or name in recorder.made for name in names):
        return "its parameters are not the module's own"
    arrays = [recorder.value(name) for name in names]
    if len({a.dtype for a in arrays if a.dtype.kind == "f"}) > 1:
        return "mixed precision"
    inputs = arrays[: len(call.inputs)]
    if row is None:
        kept = inputs[0].shape == arrays[len(inputs)].shape
        return ("identity", {}) if kept else "it changes the shape"
    if row.kind == "dropout" and call.mask is None:
        return "identity", {}
    refused = row.accepts(call.module, *inputs)
    options = {name: getattr(call.module, name) for name in row.option_names}
    return refused or (row.name, options)


def row_of(module: Any) -> Operation | None:
    """The register's row for what a module of this class does."""
    return next((row for row in OPERATIONS.values() if row.is_done_by(type(module))), None)


def is_loss(module: Any) -> bool:
    """Whether the register has it as a loss."""
    row = row_of(module)
    return row is not None and row.is_loss


def _extra(call: Call, recorder: Recorder) -> tuple[str, ...]:
    """What the operation takes besides the call's inputs: parameters, or the mask."""
    if type(call.module) is nn.Linear:
        parameters = (call.module.weight, call.module.bias)
        return tuple(_named(p, call, recorder) for p in parameters if p is not None)
    return () if call.mask is None else (call.mask,)


def _named(p: Tensor, call: Call, recorder: Recorder) -> str:
    """A tied parameter goes by its first name; one that is computed (weight_norm) has none."""
    return next((n for n, q in recorder.module.named_parameters() if q is p), f"of {call.name}")


def _forward(call: Call, described: tuple[str, dict[str, Any]], extra: tuple[str, ...]) -> Node:
    operation, options = described
    formula = _without_bias if operation == "linear" and len(extra) == 1 else None
    inputs = (*call.inputs, *extra)
    return Node(operation, inputs, call.outputs, options, formula=formula)


def _without_bias(f: Mapping[str, Callable[..., Any]], x: Any, W: Any) -> Any:
    return f["linear"](x, W, np.zeros(W.shape[0]))


def _backward(
    call: Call,
    described: tuple[str, dict[str, Any]],
    extra: tuple[str, ...],
    recorder: Recorder,
    used: Mapping[Edge, int],
    ends: bool,
) -> Node | None:
    """The gradients that this call alone is answerable for; None where there are none."""
    operation, options = described
    (out,), came = call.outputs, call.inputs[0]
    if not ends and (f"{out}.grad" not in recorder.made or is_loss(call.module)):
        return None
    arrived = call.arrived[0]
    passed_on = arrived == recorder.edges[out]
    alone = arrived is not None and (passed_on or used[arrived] == 1)
    whole = alone and arrived == recorder.edges[came]
    back, dx = f"{operation}_backward", (f"{came}.grad",)
    if operation == "linear":
        outputs = _parameter_gradients(call, extra, used)
        if whole:
            through = (f"{out}.grad", came, extra[0])
            return Node(back, through, dx + outputs)
        there = (f"{out}.grad", came)
        return Node("linear_backward_parameters", there, outputs)
    if not whole:
        return None
    row = OPERATIONS[operation]
    known = dict(zip(row.inputs, (*call.inputs, *extra), strict=False))
    known |= {row.outputs[0]: out, f"d{row.outputs[0]}": f"{out}.grad"}
    asked = tuple(known[name] for name in input_names(row.backward))
    taken = {k: v for k, v in options.items() if k in option_names(row.backward)}
    return Node(back, asked, dx, taken)


def _parameter_gradients(
    call: Call, extra: tuple[str, ...], used: Mapping[Edge, int]
) -> tuple[str, str]:
    """The names of dW and db. One that is added to another call's is nobody's alone, and one that
    is not there is nobody's: under a name that nothing records, the judge looks through them."""
    named = dict(zip(("weight", "bias"), extra, strict=False))

    def name(kind: str) -> str:
        at = None if kind not in named else edge(getattr(call.module, kind))
        alone = at is not None and used[at] == 1
        return f"{named[kind]}.grad" if alone else f"share of {call.name} in {kind}"

    return name("weight"), name("bias")


def added_up(loss: Tensor) -> Counter[Edge]:
    """How many gradients arrive at each edge of autograd's graph, behind the loss."""
    arriving: Counter[Edge] = Counter()
    seen = set()
    ahead: list[Any] = [loss.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for at in node.next_functions:
            if at[0] is not None:
                arriving[at] += 1
                ahead.append(at[0])
    return arriving


def made_by(nodes: Iterable[Node]) -> set[str]:
    """Every name that some node makes."""
    return {name for node in nodes for name in node.outputs}
