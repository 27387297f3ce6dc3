"""What a step was able to show: which kinds of results it made, what was not run, and which given
tensors are 0 in every entry, so that nothing shows how they are used, or 1 in every entry, so that
nothing shows whether they are multiplied by."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import torch

from torch_parity.compare.aten.ends import phase_of
from torch_parity.compare.aten.memory import Place
from torch_parity.compare.aten.record import Record

# What is done with a factor or a mask of numbers.
NORMS = ("native_layer_norm", "native_group_norm", "native_batch_norm", "_fused_rms_norm")
OF_FACTORS = frozenset(("mul", "div", "rsub", *NORMS))
OF_INTEGERS = frozenset(("mul", "rsub", "eq", "ne", "_to_copy"))  # those that are no indices
KINDS = ("outputs", "loss", "gradients", "new values")


def kinds(names: Iterable[str]) -> tuple[str, ...]:
    """The kinds of these results, in the order in which a step makes them."""
    found = {_kind(name) for name in names}
    return tuple(kind for kind in KINDS if kind in found)


def _kind(name: str) -> str:
    later = {"backward": "gradients", "update": "new values"}
    first = "loss" if name.partition(".")[0] == "loss" else "outputs"
    return later.get(phase_of(name), first)


def not_run(record: Record) -> Iterator[str]:
    """What the step left out, a line each."""
    gradients = [n.removesuffix(".grad") for n in record.results if phase_of(n) == "backward"]
    if "loss" not in kinds([*record.results, *record.others]):
        yield "No loss was given, so no gradient and no update was judged."
        return
    if not gradients:
        yield "The step made no gradients, so none was judged."
        return
    updated = any(record.of_phase("update")) or any(f"new {n}" in record.results for n in gradients)
    if not updated and not all(map(_is_input, gradients)):
        yield "No optimizer was given, so no update was judged."
    inputs = (n for n, r in record.given.items() if _is_input(n) and r.dtype.is_floating_point)
    without = [n for n in inputs if n not in gradients]
    if without:
        yield f"The gradient of {shortened(without)} was not judged: it needs requires_grad."


def _is_input(name: str) -> bool:
    return name.partition(".")[0] == "input"


def zeros_of(record: Record) -> Iterator[str]:
    """The given tensors of numbers (or masks) that the step reads and that are 0 in every entry."""
    read = {ref.place for call in record.calls for ref in call.inputs}
    for name, ref in record.given.items():
        if ref.unjudged or not all(ref.shape) or name.endswith(".grad before"):
            continue
        indices = "int" in str(ref.dtype)
        used = record.compiled or ref.place in read
        if used and not indices and not record.value(ref).any():
            yield name


def ones_of(record: Record) -> Iterator[str]:
    """The given factors and masks that are 1 (or True) in every entry and have no gradient and no
    new value to be seen by."""
    readers: dict[Place, set[str]] = defaultdict(set)
    for call in record.calls:
        for ref in call.inputs:
            readers[ref.place].add(call.operation)
    for name, ref in record.given.items():
        seen = {f"{name}.grad", f"new {name}"} & set(record.results)
        if seen or ref.unjudged or not all(ref.shape):
            continue
        read = readers[ref.place]
        if ref.dtype.is_floating_point:
            used = bool(read & OF_FACTORS)
        else:
            used = bool(read if ref.dtype == torch.bool else read & OF_INTEGERS)
        if used and bool((record.value(ref) == 1).all()):
            yield name


def unused(zeros: Sequence[str], ones: Sequence[str]) -> Iterator[str]:
    """What a report says of given tensors that are all 0, or all 1."""
    if zeros:
        are, they = ("are", "they are") if zeros[1:] else ("is", "it is")
        yield f"{shortened(zeros)} {are} 0, so this step shows nothing of how {they} used."
    if ones:
        are, them = ("are", "them") if ones[1:] else ("is", "it")
        yield (
            f"{shortened(ones)} {are} 1 in every entry, so this step does not show whether "
            f"anything is multiplied by {them} or masked."
        )


def shortened(names: Sequence[str]) -> str:
    """The first name, and how many more there are."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 2 else " and ".join(names)
