"""What two records have to agree on: the results of b, each with the numbers that a has for it."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from torch_parity.compare.aten.pairing import Pairing
from torch_parity.compare.aten.record import Phase, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.tensors import to_numpy

OUTPUTS = ("output", "loss")


@dataclass(frozen=True)
class End:
    """A result of b, and what it has to be: a's numbers in b's layout, or one of several where
    tensors with the same numbers were given under several names.

    missing says that a has nothing to compare with: "" if it has, "unpaired" where b's given tensor
    is none of a's, "absent" where the partner is known and has no such result. outside says that
    either number was made by no recorded call (by NumPy, or in Python), so that nothing says what
    rounding may have changed. slot is what a's optimizer calls it (.exp_avg), where b's has another
    name for it and the numbers have to say.
    """

    name: str
    ref: TensorRef
    phase: Phase
    wanted: tuple[np.ndarray, ...] = ()
    partner: str = ""
    a_ref: TensorRef | None = None
    missing: Literal["", "unpaired", "absent"] = ""
    outside: bool = False
    slot: str = ""

    @property
    def unreadable(self) -> str:
        """Why the numbers of either cannot be read; "" if they can."""
        return self.ref.unjudged or (self.a_ref.unjudged if self.a_ref is not None else "")


def ends_of(a: Record, b: Record, pairs: Mapping[str, Pairing]) -> Iterator[End]:
    """An End for each result of b, in order."""
    outputs = _by_position(a, b)
    for name, ref in b.results.items():
        phase = phase_of(name)
        if phase == "forward":
            partner = outputs.get(name)
            if partner is None:
                yield End(name, ref, phase, missing="absent")
                continue
            a_ref = a.results[partner]
            wanted = () if a_ref.unjudged else (to_numpy(a.value(a_ref)),)
            outside = partner in a.outside or name in b.outside
            yield End(name, ref, phase, wanted, partner, a_ref, outside=outside)
        else:
            end = _of_given(name, ref, phase, a, pairs)
            if end.missing == "absent" and not ref.unjudged:
                end = _of_another_slot(end, a, b, pairs) or end
            counts = counts_steps(b, name, ref) or (
                end.missing == "unpaired" and counts_calls(b, name, ref)
            )
            if not (end.missing and counts):
                yield end


def unmet(a: Record, ends: list[End], pairs: Mapping[str, Pairing]) -> tuple[list[str], list[str]]:
    """Results of a that no result of b is compared with: those that b should have, as it has the
    tensor that they belong to, and those that belong to nothing of b."""
    met = {end.partner for end in ends if not end.missing}
    for end in ends:
        base, suffix, before = split(end.name, pairs)
        suffix = end.slot or suffix
        if base is not None and not end.missing:
            places = pairs[base], *pairs[base].rivals
            met |= {f"{before}{n}{suffix}" for pairing in places for n in pairing.names}
    left = [n for n, ref in a.results.items() if n not in met and not counts_steps(a, n, ref)]
    known = {n for pairing in pairs.values() for n in pairing.names}
    due = [
        name
        for name in left
        if phase_of(name) == "forward" or (_owner(name, known) and not is_input(name))
    ]
    return due, [n for n in left if n not in due and not counts_calls(a, n, a.results[n])]


def _owner(name: str, given: Container[str]) -> bool:
    """Whether a result belongs to one of these: new fc1.weight.exp_avg to fc1.weight."""
    base = name.removeprefix("new ")
    while base not in given and "." in base:
        base = base.rpartition(".")[0]
    return base in given


def counts_steps(record: Record, name: str, ref: TensorRef) -> bool:
    """What an optimizer counts for a weight, its steps or a product of factors: a single number.
    One that keeps none may compute the same."""
    owner, _, slot = name.removeprefix("new ").rpartition(".")
    if not name.startswith("new ") or owner not in record.given or ref.shape not in ((), (1,)):
        return False
    return slot == "step" or record.given[owner].shape != ref.shape


def counts_calls(record: Record, name: str, ref: TensorRef) -> bool:
    """A whole number in a module that the step counts on and does not use (num_batches_tracked).
    A module that has none may compute the same."""
    own = name.removeprefix("new ")
    if own == name or own not in record.given or ref.shape not in ((), (1,)):
        return False
    whole = not (ref.dtype.is_floating_point or ref.complex or ref.dtype == torch.bool)
    return whole and not _used(record, ref)


def _used(record: Record, ref: TensorRef) -> bool:
    """Whether a call reads this memory and does not write into it."""
    return any(
        any(r.storage == ref.storage for r in call.inputs)
        and not any(r.storage == ref.storage for r in call.outputs)
        for call in record.calls
    )


def phase_of(name: str) -> Phase:
    """The phase that makes a result."""
    if name.startswith("new "):
        return "update"
    return "backward" if name.endswith(".grad") else "forward"


def split(name: str, pairs: Mapping[str, Pairing]) -> tuple[str | None, str, str]:
    """new fc1.weight.exp_avg -> fc1.weight, .exp_avg, "new "."""
    before = "new " if name.startswith("new ") else ""
    rest = name.removeprefix("new ")
    base = rest
    while base not in pairs and "." in base:
        base = base.rpartition(".")[0]
    return (base, rest[len(base) :], before) if base in pairs else (None, "", before)


def _by_position(a: Record, b: Record) -> dict[str, str]:
    """b's outputs and losses to a's: by name where both have it, else by their order."""
    found: dict[str, str] = {}
    for kind in OUTPUTS:
        of_a = [n for n in a.results if n.split(".")[0] == kind and phase_of(n) == "forward"]
        of_b = [n for n in b.results if n.split(".")[0] == kind and phase_of(n) == "forward"]
        same = [n for n in of_b if n in of_a]
        found |= {n: n for n in same}
        left_a = [n for n in of_a if n not in same]
        left_b = [n for n in of_b if n not in same]
        found |= dict(zip(left_b, left_a, strict=False))
    return found


def met_in_order(ends: Iterable[End], called: tuple[str, str]) -> Iterator[str]:
    """A sentence on the outputs whose names the other model does not have, if there are any."""
    pairs = [
        f"{end.name} of {called[1]} with {end.partner} of {called[0]}"
        for end in ends
        if end.partner
        and end.phase == "forward"
        and end.name not in (end.partner, *OUTPUTS)
        and end.partner not in OUTPUTS
    ]
    if pairs:
        yield f"Compared in the order of the outputs, as their names differ: {', '.join(pairs)}."


def _of_given(
    name: str, ref: TensorRef, phase: Phase, a: Record, pairs: Mapping[str, Pairing]
) -> End:
    base, suffix, before = split(name, pairs)
    if base is None:
        return End(name, ref, phase, missing="unpaired")
    pairing = pairs[base]
    partner = result_of(a, pairing.names[0], before, suffix)
    of_a = [a.results.get(result_of(a, n, before, suffix)) for n in pairing.names]
    if None in of_a:
        # an input that only b writes into is no result that a has to have
        if is_input(name):
            return End(name, ref, phase, partner=partner, missing="unpaired")
        return End(name, ref, phase, partner=partner, missing="absent")
    unreadable = next((r for r in of_a if r is not None and r.unjudged), None)
    if unreadable is not None:
        return End(name, ref, phase, (), partner, unreadable)
    wanted = tuple(_numbers(pairing, a, suffix, before, ref))
    if not wanted:
        return End(name, ref, phase, partner=partner, missing="unpaired")
    return End(name, ref, phase, wanted, partner, a.results[partner])


def is_input(name: str) -> bool:
    """What the step leaves in an input that it was given: new input, new input.mask."""
    return name.removeprefix("new ").partition(".")[0] == "input" and name.startswith("new ")


def _of_another_slot(end: End, a: Record, b: Record, pairs: Mapping[str, Pairing]) -> End | None:
    """What b's optimizer keeps for a parameter, held to the nearest of what a's keeps for it by a
    name that b's does not have."""
    base, suffix, before = split(end.name, pairs)
    if base is None or not suffix or not before or end.ref.shape != b.given[base].shape:
        return None
    first = pairs[base].names[0]
    slots = [n[len(f"new {first}") :] for n in a.results if n.startswith(f"new {first}.")]
    found: list[tuple[float, End]] = []
    for slot in slots:
        partner = result_of(a, first, before, slot)
        if f"new {base}{slot}" in b.results or a.results[partner].shape != a.given[first].shape:
            continue
        for numbers in _numbers(pairs[base], a, slot, before, end.ref):
            gap = np.abs(numbers - to_numpy(b.value(end.ref))).max(initial=0.0)
            ref = a.results[partner]
            found.append(
                (float(gap), End(end.name, end.ref, end.phase, (numbers,), partner, ref, slot=slot))
            )
    return min(found, key=lambda pair: pair[0])[1] if found else None


def result_of(record: Record, name: str, before: str, suffix: str) -> str:
    """The name of what belongs to a given tensor, which may have other names as well (tied
    weights): fc1.weight.grad, new fc1.weight."""
    own = f"{before}{name}{suffix}"
    ref = record.given.get(name)
    if own in record.results or ref is None:
        return own
    names = [n for n, r in record.given.items() if r == ref]
    return next((t for n in names if (t := f"{before}{n}{suffix}") in record.results), own)


def _numbers(
    pairing: Pairing, a: Record, suffix: str, before: str, ref: TensorRef
) -> Iterator[np.ndarray]:
    """a's results for the paired tensors, in b's layout; then those for each rival. Of what has
    another shape than the tensor that it belongs to (Adafactor's rows) the layout is known only
    where the tensors are the same."""
    for choice in (pairing, *pairing.rivals):
        refs = {n: a.results.get(result_of(a, n, before, suffix)) for n in choice.names}
        found = {n: r for n, r in refs.items() if r is not None and not r.unjudged}
        if len(found) < len(refs):
            continue
        arrays = {n: to_numpy(a.value(r)) for n, r in found.items()}
        if all(x.size == 1 for x in arrays.values()) and ref.shape in ((), (1,)):
            yield next(iter(arrays.values())).reshape(ref.shape)  # a counter: Adam's step
        elif all(x.size == _size(a.given[n]) for n, x in arrays.items()):
            yield choice.taken_from(arrays, ref.shape)
        elif choice.straight:
            yield arrays[choice.names[0]]


def _size(ref: TensorRef) -> int:
    return int(np.prod(ref.shape, dtype=np.int64))
