"""Replay: every recorded operation again, in higher precision, from the inputs that the same side
recorded, and its output held to the bound that rounding allows it.

Errors that came in with the inputs are not this operation's fault, so nothing adds up on the way
and no kink can excuse anything: what is over its bound was computed by another formula.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precision import is_real, precision
from torch_parity.compare.flow.nodes import Node, result
from torch_parity.compare.register import FUNCTIONS, PRIMITIVES

TABLE = {**FUNCTIONS, **PRIMITIVES}

WORST = 1024  # doubtful entries of a tensor that are looked at before all others

Outcome = Literal["right", "wrong", "missing", "shape", "dtype", "not finite", "not judged"]


@dataclass(frozen=True)
class Replayed:
    """One recorded tensor against its replay.

    use is the greatest |recorded - replayed| / bound over all entries, found at index, where the
    two stood as came and expected. power is the smallest fault that any entry would have shown,
    relative to the tensor's largest entry (the greatest bound that an entry has); infinite where
    every entry is 0, for there no wrong factor shows.
    """

    name: str
    operation: str
    outcome: Outcome
    use: float = float("nan")
    power: float = float("nan")
    index: tuple[int, ...] = ()
    expected: float = float("nan")
    came: float = float("nan")
    detail: str = ""

    @property
    def right(self) -> bool:
        """Within its bound."""
        return self.outcome == "right"


def replay(
    nodes: tuple[Node, ...],
    start: Mapping[str, np.ndarray],
    trace: Mapping[str, np.ndarray],
) -> tuple[Replayed, ...]:
    """One Replayed per output of each node, in flow order.

    start holds what the step was given (x, y, parameters, masks, optimizer state), trace what it
    recorded.
    """
    known = recorded_inputs(start, trace)
    return tuple(found for node in nodes for found in replay_node(node, known, trace))


def recorded_inputs(
    start: Mapping[str, np.ndarray], trace: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Everything a node can ask for: W1 as it was given, new_W1 as the step left it."""
    return {**trace, **{f"new_{name}": trace[name] for name in start if name in trace}, **start}


def replay_node(
    node: Node,
    known: Mapping[str, np.ndarray],
    trace: Mapping[str, np.ndarray],
) -> list[Replayed]:
    """The outputs of one node, from what is known."""
    absent = [name for name in node.inputs if name not in known]
    if absent:
        detail = f"{node.operation} needs {', '.join(absent)}, which is not recorded"
        return _all(node, "not judged", detail)
    inputs = [known[name] for name in node.inputs]
    foreign = next((n for n, a in zip(node.inputs, inputs, strict=True) if not numeric(a)), None)
    if foreign:
        detail = f"its input {foreign} is {known[foreign].dtype}, not numbers"
        return _all(node, "not judged", detail)
    broken = next((n for n, a in zip(node.inputs, inputs, strict=True) if not _finite(a)), None)
    if broken:
        return _all(node, "not judged", f"its input {broken} is not finite already")
    try:
        outputs = apply(node, TABLE, [_bounded(a) for a in inputs])
    except (ValueError, IndexError, TypeError, ArithmeticError) as error:
        return _all(node, "shape", str(error))
    found: list[Replayed] = []
    types = {a.dtype for a in inputs if is_real(a.dtype)}
    for i, (name, expected) in enumerate(zip(node.outputs, outputs, strict=True)):
        seen = _judge(name, node.operation, trace.get(name), expected, types)
        if seen.outcome == "wrong" and seen.use <= _greatest_gain(inputs):
            seen = _closer(node, i, inputs, trace[name], expected, types)
        if seen.outcome == "wrong" and node.parts:
            seen = replace(seen, detail=_way(node))
        found.append(seen)
    return found


def _closer(
    node: Node,
    i: int,
    inputs: list[np.ndarray],
    recorded: np.ndarray,
    expected: Any,
    types: Collection[np.dtype],
) -> Replayed:
    """Output i once more, with the drift that the terms of its doubtful entries have.

    That costs n operations an entry, and of a wrong tensor every entry may be doubtful. So only the
    worst of them are given it at first, and all others the worst that there is: where that does not
    save the tensor, nothing does.
    """
    gap = np.abs(recorded - expected.value)
    doubt = (gap > expected.error).astype(np.uint8)
    looks = [doubt]
    if np.count_nonzero(doubt) > WORST:
        uses = np.divide(gap, expected.error, out=np.zeros_like(gap), where=doubt > 0)
        first = np.full_like(doubt, 2)
        first.flat[np.argpartition(uses, -WORST, axis=None)[-WORST:]] = 1
        looks = [first, doubt]
    for look in looks:
        closer = apply(node, TABLE, [_bounded(a, look) for a in inputs])[i]
        seen = _judge(node.outputs[i], node.operation, recorded, closer, types)
        if seen.outcome == "wrong":
            break
    return seen


def apply(
    node: Node, functions: Mapping[str, Callable[..., Any]], inputs: list[Any]
) -> tuple[Any, ...]:
    """The node's outputs, by its operation or by what stands in for it."""
    if node.parts:
        return _apply_parts(node, functions, dict(zip(node.inputs, inputs, strict=True)))
    if node.formula is not None:
        outputs = node.formula(functions, *inputs, **node.options)
    else:
        outputs = functions[node.operation](*inputs, **node.options)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _apply_parts(
    node: Node, functions: Mapping[str, Callable[..., Any]], known: Mapping[str, Any]
) -> tuple[Any, ...]:
    """One part after another; what was recorded is taken as it was, not as a part makes it."""
    at = dict(known)
    for part in node.parts:
        outputs = apply(part, functions, [at[name] for name in part.inputs])
        at = dict(zip((result(part, name) for name in part.outputs), outputs, strict=True)) | at
    made = dict(zip(node.parts[-1].outputs, outputs, strict=True))
    return tuple(made[name] for name in node.outputs)


def _way(node: Node) -> str:
    """What lies between a joined node's inputs and its output."""
    read = {name for part in node.parts for name in part.inputs}
    worked = (part for part in node.parts if part.operation != "identity")
    inner = [n for part in worked for n in part.outputs if n in read and n not in node.inputs]
    return f"the way to it leads over {', '.join(inner)}, not recorded" if inner else ""


def _all(node: Node, outcome: Outcome, detail: str) -> list[Replayed]:
    return [Replayed(name, node.operation, outcome, detail=detail) for name in node.outputs]


def _bounded(recorded: np.ndarray, doubt: np.ndarray | None = None) -> Any:
    """Class indices and step counters are no rounded numbers; they stay what they are."""
    return Bounded.exact(recorded, doubt) if is_real(recorded.dtype) else recorded


def _greatest_gain(inputs: list[np.ndarray]) -> float:
    """How much a bound can grow at a closer look: from sqrt(n) to n, for n entries in a sum."""
    return float(np.sqrt(max(a.size for a in inputs)))


def _finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all())


def numeric(array: np.ndarray) -> bool:
    """Real numbers of any precision; no booleans, objects or text."""
    return array.dtype.kind in "iu" or is_real(array.dtype)


def _judge(
    name: str,
    operation: str,
    recorded: np.ndarray | None,
    expected: Any,
    types: Collection[np.dtype],
) -> Replayed:
    """types are those of the inputs: where they differ, the result may be of either."""
    if recorded is None:
        return Replayed(name, operation, "missing", detail=f"{name} is not recorded")
    if not numeric(recorded):
        return Replayed(name, operation, "dtype", detail=f"{recorded.dtype}, expected numbers")
    if recorded.size == 0:
        return Replayed(name, operation, "shape", detail=f"{recorded.shape} has no entries")
    if recorded.shape != expected.shape:
        detail = f"{recorded.shape}, expected {expected.shape}"
        return Replayed(name, operation, "shape", detail=detail)
    if not isinstance(expected, Bounded):
        expected = Bounded.exact(np.asarray(expected, np.float64))
    elif recorded.dtype not in types:
        detail = f"{recorded.dtype}, expected {expected.judged}"
        return Replayed(name, operation, "dtype", detail=detail)
    gap = np.abs(recorded - expected.value).astype(np.float64)
    gap = np.where(np.isfinite(recorded), gap, np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        uses = np.where(gap == 0, 0.0, gap / expected.error)
        unbounded = ~np.isfinite(expected.error) & (gap > 0)
    at = int(uses.argmax())
    index = tuple(int(i) for i in np.unravel_index(at, uses.shape))
    largest = float(np.abs(expected.value).max(initial=0))
    came = float(recorded[index])
    if not np.isfinite(came):
        return _not_finite(name, operation, index, recorded, expected)
    if unbounded.any():
        detail = "rounding alone could make it anything, so nothing about it can be judged"
        return Replayed(name, operation, "not judged", index=index, came=came, detail=detail)
    return Replayed(
        name,
        operation,
        "right" if uses.flat[at] <= 1 else "wrong",
        use=float(uses.flat[at]),
        power=float(expected.error.max()) / largest if largest else float("inf"),
        index=index,
        expected=float(expected.value[index]),
        came=came,
    )


def _not_finite(
    name: str, operation: str, index: tuple[int, ...], recorded: np.ndarray, expected: Bounded
) -> Replayed:
    """The numbers have outgrown their type, unless what the inputs give would have fitted."""
    came, value = float(recorded[index]), float(expected.value[index])
    fits = abs(value) + float(expected.error[index]) <= precision(recorded.dtype).most
    at = f"{came} at {list(index)}" if index else f"{came}"
    detail = f"{at}, but its own inputs give {value:.9g}" if fits else at
    return Replayed(
        name,
        operation,
        "not finite",
        index=index,
        expected=value if fits else float("nan"),
        came=came,
        detail=detail,
    )
