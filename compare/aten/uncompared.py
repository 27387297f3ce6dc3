"""What nobody compares: state in lists and dicts, tensors that a step puts into a model, weights
that are no parameters, generators that the step seeds. A report says so."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.unchanged import tensor_attributes, tensors_held_in

CLASS = "(class)"
Version = tuple[Tensor, int]


class Kept:
    """The tensors that a model keeps in plain attributes, and how often each had been written."""

    def __init__(self, model: Any) -> None:
        self._model = model if isinstance(model, nn.Module) else nn.Module()
        self._before = self._now()

    def changed(self, compared: Sequence[str]) -> list[str]:
        """The names of what has been written or put there since, less what is compared."""
        now = self._now()
        return [
            name
            for name, tensors in now.items()
            if name not in compared and not _same(self._before.get(name, []), tensors)
        ]

    def tensors(self) -> Iterator[Tensor]:
        """All of them as they are now."""
        yield from (t for tensors in self._now().values() for t, _ in tensors)

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
    """A sentence on what the two steps change and nobody compares, if there is anything."""
    sides = [*zip(called, own, strict=True)]
    names = [f"{name} of {c}" for c, record in sides for name in record.stored]
    if names:
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        yield f"Not compared: {shown}, which the step changes in the model's plain attributes."
    for c, record in sides:
        if record.unregistered:
            shapes = " and ".join(map(str, record.unregistered[:3]))
            yield (
                f"Not compared: the gradient of what {c} trains beside its parameters (a tensor of "
                f"shape {shapes})."
            )
    seeded = [c for c, record in sides if record.seeded]
    if len(seeded) == 1:
        yield (
            f"{seeded[0]} seeds a random generator or draws from its own; both were given the same "
            "numbers here, which says nothing of the next ones (share_draws=False compares them)."
        )


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
        more = f" (and {len(found) - 4} more)" if len(found) > 4 else ""
        told = "; ".join(sorted(found)[:4])
        yield f"Settings differ, which this step need not show: {told}{more}."


def _of_one_class(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Of torch's own modules: others may call two things alike."""
    key = f"{name.rpartition('.')[0]}.{CLASS}".lstrip(".")
    return a.get(key) == b.get(key) and str(a.get(key)).startswith("torch.")
