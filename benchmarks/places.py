"""Does a judge say where a mistake was planted? Places, and the answers that count as right."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from benchmarks.zoo.mistakes import Mistake
from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.parting import Parting


@dataclass(frozen=True)
class Place:
    """Where two models part. An update has no module: it is that of the parameter."""

    phase: str
    module: str
    operation: str


def place_of(parting: Parting | None, alignment: Alignment) -> Place | None:
    """The place of the first parted call."""
    call = None if parting is None else parting.call
    if parting is None or call is None:
        return None
    module = call.module
    if call.phase == "update":
        name = parting.end.end.name.removeprefix("new ")
        owners = (m for m in owners_of(alignment) if name.startswith(f"{m}."))
        module = max(owners, key=len, default="")
    return Place(call.phase, module, call.operation)


def owners_of(alignment: Alignment) -> set[str]:
    """The modules that have parameters."""
    names = {n for r in (alignment.a, alignment.b) for n in r.given}
    parameters = {n for n in names if not any(n.startswith(f"{m}.") for m in names)}
    return {n.rpartition(".")[0] for n in parameters}


def answers(planted: Mistake) -> set[str]:
    """The paths of modules that are right answers, in the names of either model."""
    own = {planted.module, *planted.others}
    return own | {other for path in own for other in counterparts(planted, path)}


def counterparts(planted: Mistake, path: str) -> Iterator[str]:
    """What the right model calls a module of the wrong one, which is told by its parameters. A
    module without any is one of those without any in the same place."""
    theirs = dict(planted.right.model.named_modules())
    if path in theirs:
        return
    if not _is_bare(planted.wrong.model.get_submodule(path)):
        yield from _owner(planted, path)
        return
    for around in _owner(planted, path.rpartition(".")[0]):
        inside = (n for n in theirs if n.startswith(f"{around}."))
        yield from (around, *(n for n in inside if _is_bare(theirs[n])))


def _is_bare(module: nn.Module) -> bool:
    return next(module.parameters(), None) is None


def _owner(planted: Mistake, path: str) -> Iterator[str]:
    """The innermost module of the right model that holds what this one of the wrong model does."""
    right = dict(planted.right.model.named_parameters())
    memory = {p.untyped_storage().data_ptr(): name for name, p in right.items()}
    held = [
        memory.get(value.untyped_storage().data_ptr())
        for name, value in planted.port(dict(right)).items()
        if not path or name.startswith(f"{path}.")
    ]
    owners = [n.rpartition(".")[0].replace(".", "/") for n in held if n is not None]
    if owners:
        yield os.path.commonpath(owners).replace("/", ".")


def lies_in(place: Place, paths: set[str], phase: str) -> bool:
    """In one of these modules, inside it, or in the module around it."""
    if place.phase != phase:
        return False
    if phase == "update":
        return place.module in paths
    return any(
        place.module == path
        or (path and place.module.startswith(f"{path}."))
        or (path and place.module == path.rpartition(".")[0])
        for path in paths
    )
