"""What nobody compares: state in lists and dicts, tensors that a step puts into a model, weights
that are no parameters, generators that the step seeds. A report says so."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from torch_parity.compare.aten.plain_state import fingerprint, plain_state
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.unchanged import tensor_attributes, tensors_held_in

CLASS = "(class)"
SHOWN = 4
Version = tuple[Tensor, int]


class Kept:
    """The tensors that a model keeps in plain attributes, and how often each had been written."""

    def __init__(self, model: Any) -> None:
        self._model = model if isinstance(model, nn.Module) else nn.Module()
        self._before = self._now()
        self._hidden = self._fingerprints()

    def changed(self, compared: Sequence[str]) -> list[str]:
        """The names of what has been written or put there since, less what is compared."""
        now, hidden = self._now(), self._fingerprints()
        written = [n for n, tensors in now.items() if not _same(self._before.get(n, []), tensors)]
        others = [n for n, found in hidden.items() if found != self._hidden.get(n)]
        return [n for n in dict.fromkeys((*written, *others)) if n not in compared]

    def tensors(self) -> Iterator[Tensor]:
        """All of them as they are now."""
        yield from (t for tensors in self._now().values() for t, _ in tensors)

    def _fingerprints(self) -> dict[str, bytes]:
        return {name: fingerprint(value) for name, _, _, value in plain_state(self._model)}

    def _now(self) -> dict[str, list[Version]]:
        single = {n: [(t, t._version)] for n, _, _, t in tensor_attributes(self._model)}
        return single | {
            f"{path}.{name}".lstrip("."): [(t, t._version) for t in tensors]
            for path, module in self._model.named_modules()
            for name, value in vars(module).items()
            if not name.startswith("_") and (tensors := [*tensors_held_in(value)])
        }


def _same(before: list[Version], now: list[Version]) -> bool:
    return len(before) == len(now) and all(
        t is u and v == w for (t, v), (u, w) in zip(before, now, strict=True)
    )


def not_compared(own: Sequence[Record], called: tuple[str, str]) -> Iterator[str]:
    """A sentence on each thing that the two steps change and nobody compares."""
    sides = [*zip(called, own, strict=True)]
    names = [f"{name} of {c}" for c, record in sides for name in record.stored]
    if names:
        yield f"Not compared: {_listed(names)}, which the step stores in the model."
    for c, record in sides:
        if record.foreign:
            shapes = _listed([str(shape) for shape in record.foreign])
            yield (
                f"Not compared: tensors of shape {shapes} that the step of {c} writes into, and "
                "which are no part of the model. Each step begins with what they held at first."
            )
    for c, record in sides:
        if record.unregistered:
            shapes = _listed([str(shape) for shape in record.unregistered])
            yield (
                f"Not compared: gradients of {c} for tensors of shape {shapes}, which are none of "
                "its parameters. Register them with nn.Parameter, or in an nn.ModuleList."
            )
    for (c, record), (_, other) in zip(sides, sides[::-1], strict=True):
        alone = [n for n in record.others if n.startswith("new ") and n not in other.others]
        alone = [p for n in alone if (p := n.removeprefix("new ")) not in other.attributes]
        if alone:
            yield f"Not compared: {_listed(alone)} of {c}, which its step changes."
    cut = [record.cut for record in own]
    if cut[0] is not None and cut[1] is not None:
        for name in sorted(cut[0] ^ cut[1]):
            if all(name in record.results for record in own):
                has, lacks = called if name in cut[1] else called[::-1]
                yield (
                    f"Not compared: the gradient of {name}, which {has} has and {lacks} does not "
                    "have."
                )
    seeded = [c for c, record in sides if record.seeded]
    if len(seeded) == 1:
        yield (
            f"{seeded[0]} seeds a random generator, or draws from one of its own. Both models got "
            "the same random numbers here; share_draws=False compares the numbers of each."
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@contextmanager
def seeding_seen(record: Record) -> Iterator[None]:
    """Whether torch's generator is seeded meanwhile."""
    real = torch.manual_seed

    def seen(seed: Any) -> Any:
        record.seeded = True
        return real(seed)

    torch.manual_seed = seen
    try:
        yield
    finally:
        torch.manual_seed = real


def hidden_settings(own: Sequence[Record], called: tuple[str, str]) -> Iterator[str]:
    """A sentence on the settings in which modules of one path and class differ, which need not show
    in this step: a dropout's p while it evaluates, a momentum."""
    a, b = (record.attributes for record in own)
    found = [
        f"{name} is {a[name]} in {called[0]} and {b[name]} in {called[1]}"
        for name in a.keys() & b.keys()
        if a[name] != b[name] and _of_one_class(name, a, b)
    ]
    if found:
        yield f"These settings differ, but do not show in this step: {_listed(sorted(found))}."


def _of_one_class(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Of torch's own modules: others may call two things alike."""
    key = f"{name.rpartition('.')[0]}.{CLASS}".lstrip(".")
    return a.get(key) == b.get(key) and str(a.get(key)).startswith("torch.")
