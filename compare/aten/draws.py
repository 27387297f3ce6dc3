"""Random numbers: which calls draw them, and how a second model draws those of the first.

Two models that both drop out agree only if they drop the same units. Numbers are handed on by
module, operation and shape, in the order in which they were drawn.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from torch_parity.compare.aten.record import Call, Record, operation_of
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.tensors import to_numpy
from torch_parity.compare.torch_private import arguments_of, flattened

RANDOM = {
    "bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal",
    "normal_functional", "poisson", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "random", "randperm", "uniform", "_standard_gamma", "_sample_dirichlet",
    "binomial",
}  # fmt: skip
UNINITIALISED = {
    "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided",
}  # fmt: skip
# returns the result and the mask: both are replaced
DROPOUT = "native_dropout"
# What rand and randn draw from.
STANDARD = {"from": 0, "to": 1, "mean": 0, "std": 1}
FORMED = ("uniform", "normal")
# The name of what several operations draw.
SAME_NUMBERS = {
    "bernoulli": "mask", DROPOUT: "mask", "randn": "normal", "rand": "uniform",
    "normal_functional": "normal",
}  # fmt: skip

Key = tuple[str, tuple[int, ...], Any]


class Drawn(NamedTuple):
    """Random numbers, and what drew them."""

    module: str
    numbers: Tensor
    operation: str


class Draws:
    """The random numbers of a record, to be drawn once more."""

    def __init__(self, record: Record) -> None:
        self._left: dict[Key, list[Drawn]] = defaultdict(list)
        self._replaced: dict[tuple[Key, bytes], Tensor] = {}
        for call in drawing(record):
            drawn = record.value(call.outputs[-1]).clone()
            self._left[key_of_call(record, call)].append(Drawn(call.module, drawn, call.operation))

    @property
    def all_drawn(self) -> bool:
        """Each of them was drawn once more."""
        return not any(self._left.values())

    def drawn_again(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        out: Any,
        module: str,
        again: bool,
    ) -> Any:
        """What the call returns: the other record's numbers, where it drew some of this kind, those
        of the same module first.

        again says that a forward is computed once more (checkpointing): then it has to draw the
        numbers that it drew the first time, which are replaced alike, or else its own stay.
        """
        operation = operation_of(func)
        if operation not in RANDOM and operation != DROPOUT:
            return out
        tensors = [t for t in flattened(out) if isinstance(t, Tensor)]
        key = key_of(operation, tensors[-1], _form(func, args, kwargs, lambda x: x))
        left, own = self._like(key, operation), to_numpy(tensors[-1]).tobytes()
        if again:
            replacement = self._replaced.get((key, own))
        elif left:
            at = next((i for i, found in enumerate(left) if found.module == module), 0)
            replacement = self._replaced[key, own] = left.pop(at).numbers
        else:
            replacement = None
        if replacement is None:
            return out
        tensors[-1].copy_(replacement.to(tensors[-1].device))
        if operation == DROPOUT:
            x, p = args[0], float(args[1])
            tensors[0].copy_(x * tensors[1] * (1 / (1 - p) if p < 1 else 0.0))
        return out

    def _like(self, key: Key, operation: str) -> list[Drawn]:
        """What is left of this kind; or of the same operation with another range or deviation, as
        that is to be seen."""
        if self._left[key] or operation not in FORMED:
            return self._left[key]
        return next(
            (
                found
                for (_, *rest), found in self._left.items()
                if found and found[0].operation == operation and (*rest,) == key[1:]
            ),
            self._left[key],
        )


def draws_differ(a: Record, b: Record) -> str:
    """Which random numbers of b are not those of a, though a drew some of the kind: such as
    "bernoulli of (4, 8)". "" if all that both drew are the same."""
    of_a, of_b = _drawn(a), _drawn(b)
    for key, numbers in of_b.items():
        others = of_a.get(key, Counter())
        if not (numbers <= others or others <= numbers):
            return f"{key[0]} of {key[1]}"
    return ""


def _drawn(record: Record) -> dict[Key, Counter[bytes]]:
    """The numbers that the forward drew, and how often."""
    found: dict[Key, Counter[bytes]] = defaultdict(Counter)
    for call in drawing(record):
        drawn = record.value(call.outputs[-1])
        found[key_of_call(record, call)][to_numpy(drawn).tobytes()] += 1
    return found


def drawing(record: Record) -> Iterator[Call]:
    """The calls of the forward that draw random numbers."""
    for call in record.of_phase("forward"):
        drawing = call.operation in RANDOM or call.operation == DROPOUT
        if drawing and call.outputs and not call.outputs[-1].unjudged:
            yield call


def key_of_call(record: Record, call: Call) -> Key:
    """Of what a recorded call drew."""
    form = _form(call.overload, call.args, call.kwargs, record.value)
    return key_of(call.operation, record.value(call.outputs[-1]), form)


def key_of(operation: str, drawn: Tensor, form: str = "") -> Key:
    """Numbers of which kind and shape are drawn again. A dropout's mask is drawn by bernoulli on
    the CPU, and by native_dropout elsewhere. Numbers of another range or deviation (form) are not
    those of rand and randn."""
    name = operation.removesuffix("_like")
    name = f"{name}{form}" if form else SAME_NUMBERS.get(name, name)
    kind = "real" if drawn.is_floating_point() or name == "mask" else drawn.dtype
    return name, tuple(drawn.shape), kind


def _form(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], read: Callable[[Any], Tensor]
) -> str:
    """What a uniform or normal distribution is given by, unless it is the standard one."""
    found = []
    for i, argument in enumerate(arguments_of(func)):
        if argument.name not in STANDARD or operation_of(func) not in FORMED:
            continue
        usual = STANDARD[argument.name]
        value = args[i] if i < len(args) else kwargs.get(argument.name, usual)
        if isinstance(value, Tensor | TensorRef):
            value = usual if bool((read(value) == usual).all()) else "tensor"
        found.append((value, usual))
    return str([v for v, _ in found]) if any(v != usual for v, usual in found) else ""
