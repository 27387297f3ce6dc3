"""Two sides that call the same thing differently: a mapping of names, checked before it is used."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace

from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.flow.graph import linked
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.sources.modules.capture import Capture

# what the judge and the catalogue put before a tensor's name
PREFIXES = ("new_", "previous_")


def renamed(name: str, names: Mapping[str, str]) -> str:
    """fc1.weight under {"fc1": "layers.0"} is layers.0.weight; the longest fitting name counts."""
    before = next((p for p in PREFIXES if name.startswith(p)), "")
    if before and not _fitting(name, names):
        return before + renamed(name.removeprefix(before), names)
    fitting = _fitting(name, names)
    return names[fitting] + name.removeprefix(fitting) if fitting else name


def _fitting(name: str, names: Collection[str]) -> str:
    return max((n for n in names if _belongs(name, n)), key=len, default="")


def _belongs(tensor: str, name: str) -> bool:
    """Whether the tensor is name itself, a part of it, or from another of its calls."""
    return tensor == name or tensor.startswith((f"{name}.", f"{name}@"))


def inverse(
    names: Mapping[str, str], a: Collection[str], b: Collection[str], called: tuple[str, str]
) -> dict[str, str]:
    """names from b to a, once every name is known to exist in a (the keys) or in b (the values).

    Raises:
        InputError: one does not, two keys have one value, or two tensors of b get one name.
    """
    for name, known, side in (
        *((key, a, called[0]) for key in names),
        *((value, b, called[1]) for value in names.values()),
    ):
        if not any(_belongs(tensor, name) for tensor in known):
            raise InputError(f"names: {side} has no {name!r}; {suggest(name, _stems(known))}")
    if twice := _first_twice(names.values()):
        keys = " and ".join(repr(key) for key, value in names.items() if value == twice)
        raise InputError(f"names: {keys} both map to {twice!r}; one of them is another's")
    back = {value: key for key, value in names.items()}
    if twice := _first_twice(renamed(tensor, back) for tensor in b):
        raise InputError(
            f"names: {called[1]} would have two tensors called {twice!r}, its own and a renamed "
            "one; say in names what its own is to be paired with"
        )
    return back


def _first_twice(names: object) -> str | None:
    counted: Counter[str] = Counter(names)  # type: ignore[call-overload]
    return next((name for name, n in counted.items() if n > 1), None)


def _stems(tensors: Collection[str]) -> list[str]:
    """The names to suggest: modules rather than each of their tensors."""
    owners = {t.rpartition(".")[0] or t for t in tensors if not t.startswith(PREFIXES)}
    return sorted(owners | set(tensors))


def with_names(trace: Capture, names: Mapping[str, str]) -> Capture:
    """The same record under other names."""
    return replace(
        trace,
        given={renamed(n, names): array for n, array in trace.given.items()},
        made={renamed(n, names): array for n, array in trace.made.items()},
        nodes=linked([_node(node, names) for node in trace.nodes]),
        modules={renamed(n, names): module for n, module in trace.modules.items()},
    )


def _node(node: Node, names: Mapping[str, str]) -> Node:
    return replace(
        node,
        inputs=tuple(renamed(n, names) for n in node.inputs),
        outputs=tuple(renamed(n, names) for n in node.outputs),
    )
