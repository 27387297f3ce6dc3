"""Whatever a model returns is compared: containers of any kind, arrays, floats, objects; and what
cannot be compared is said."""

import collections
import dataclasses
import datetime
import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from tests.small_models import Applied, returning, squares, x_of
from torch_parity.compare.aten.check import check_model, check_modules
from torch_parity.compare.aten.leaves import leaves_of, with_tensors
from torch_parity.compare.aten.pair_report import ModulesReport

Wrap = Callable[[Tensor], Any]


@dataclasses.dataclass
class Whole:
    logits: Tensor
    told: Any = None


class Pair(NamedTuple):
    first: Tensor
    second: Any


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Plain:
    def __init__(self, numbers: Any) -> None:
        self.numbers = numbers


class Slotted:
    __slots__ = ("numbers",)

    def __init__(self, numbers: Any) -> None:
        self.numbers = numbers


class Mine(collections.UserDict):  # type: ignore[type-arg]
    """A mapping as Hugging Face's outputs are."""


Normal = torch.distributions.Normal
# what a right model returns, and a wrong one
WRAPS: dict[str, tuple[Wrap, Wrap]] = {
    "dataclass": (lambda z: Whole(z), lambda z: Whole(z * 2)),
    "dataclass, a number": (lambda z: Whole(z, 1), lambda z: Whole(z, 2)),
    "namedtuple": (lambda z: Pair(z, z + 1), lambda z: Pair(z, z + 1.0001)),
    "namedtuple, a float": (lambda z: Pair(z, 1.0), lambda z: Pair(z, 1.5)),
    "mapping": (lambda z: Mine(logits=z), lambda z: Mine(logits=z * 2)),
    "nested": (lambda z: {"a": [z, {"b": z + 1}]}, lambda z: {"a": [z, {"b": z + 1.001}]}),
    "keys that are numbers": (lambda z: {0: z, 1: z + 1}, lambda z: {0: z, 1: z + 2}),
    "deque": (lambda z: collections.deque([z]), lambda z: collections.deque([z * 2])),
    "packed": (lambda z: packed(z, [3, 2, 2, 1]), lambda z: packed(2 * z, [3, 2, 2, 1])),
    "packed, lengths": (lambda z: packed(z, [3, 2, 2, 1]), lambda z: packed(z, [3, 3, 2, 1])),
    "object": (lambda z: Plain(z), lambda z: Plain(z * 2)),
    "object with slots": (lambda z: Slotted(z), lambda z: Slotted(z * 2)),
    "object of numbers": (lambda z: (z, Plain(1)), lambda z: (z, Plain(2))),
    "distribution": (lambda z: Normal(z, 1.0), lambda z: Normal(z, 2.0)),
    "array": (lambda z: z.detach().numpy(), lambda z: z.detach().numpy() + 1),
    "array of integers": (lambda z: np.arange(3), lambda z: np.arange(1, 4)),
    "array, shape": (lambda z: (z, np.zeros((2, 3))), lambda z: (z, np.zeros((3, 2)))),
    "array with nan": (lambda z: (z, np.array([np.nan, 1])), lambda z: (z, np.array([np.nan, 2]))),
    "float": (lambda z: float(z.detach().sum()), lambda z: 0.0),
    "float beside": (lambda z: (z, 1.0), lambda z: (z, 2.0)),
    "nan beside": (lambda z: (z, float("nan")), lambda z: (z, 1.0)),
    "NumPy's float": (lambda z: np.float32(1.5), lambda z: np.float32(1.25)),
    "int": (lambda z: (z, 10**30), lambda z: (z, 10**30 + 1)),
    "bool": (lambda z: (z, True), lambda z: (z, False)),
    "string": (lambda z: (z, "a"), lambda z: (z, "b")),
    "bytes": (lambda z: (z, b"a"), lambda z: (z, b"b")),
    "complex number": (lambda z: (z, 1j), lambda z: (z, 2j)),
    "None": (lambda z: (z, None), lambda z: (z, 1)),
    "None for a tensor": (lambda z: (z, None), lambda z: (z, z)),
    "set": (lambda z: (z, {1, 2}), lambda z: (z, {1, 3})),
    "enum": (lambda z: (z, Colour.RED), lambda z: (z, Colour.BLUE)),
    "date": (lambda z: (z, datetime.date(2020, 1, 1)), lambda z: (z, datetime.date(2021, 1, 1))),
    "shape": (lambda z: (z, z.shape), lambda z: (z, z[None].shape)),
    "dtype": (lambda z: (z, z.dtype), lambda z: (z, torch.int8)),
    "range": (lambda z: (z, range(3)), lambda z: (z, range(4))),
    "another shape": (lambda z: z, lambda z: z.reshape(3, 4)),
    "one dimension more": (lambda z: z, lambda z: z[None]),
    "transposed": (lambda z: z, lambda z: z.T),
    "integers": (lambda z: z.argmax(1), lambda z: z.argmin(1)),
    "integers, shape": (lambda z: z.argmax(1), lambda z: z.argmax(1)[None]),
    "truths": (lambda z: z > 0, lambda z: z >= 1),
    "more": (lambda z: (z,), lambda z: (z, z + 1)),
    "fewer": (lambda z: (z, z + 1), lambda z: (z,)),
    "order": (lambda z: (z, z + 1), lambda z: (z + 1, z)),
    "through float16": (lambda z: z, lambda z: z.half().float()),
    "in float16": (lambda z: z.half(), lambda z: z.half() * 1.01),
    "a parameter": (
        lambda z: (z, nn.Parameter(torch.ones(2))),
        lambda z: (z, nn.Parameter(torch.zeros(2))),
    ),
}


def packed(z: Tensor, lengths: list[int]) -> Any:
    return pack_padded_sequence(z[:, :, None], torch.tensor(lengths), batch_first=True)


@pytest.mark.parametrize("name", WRAPS)
def test_whatever_is_returned_is_compared(name: str) -> None:
    right, wrong = WRAPS[name]
    same = check_modules(returning(right), returning(right), x_of())
    assert same.outcome == "PASS", str(same)
    assert check_modules(returning(right), returning(wrong), x_of()).outcome == "FAIL"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (lambda z: (z, None), lambda z: (None, z), "output.1 of b with output.0 of a"),
        (lambda z: {"y": z}, lambda z: {"out": z}, "output.out of b with output.y of a"),
        (lambda z: {"y": z, "h": 2 * z}, lambda z: {"h": 2 * z, "y": z}, ""),
        (lambda z: (z,), lambda z: z, ""),
        (lambda z: (z, None), lambda z: (z,), ""),
    ],
    ids=["places", "keys", "same keys", "a tuple of one", "None"],
)
def test_outputs_with_other_names_are_compared_in_order_and_it_is_said(
    first: Wrap, second: Wrap, said: str
) -> None:
    report = check_modules(returning(first), returning(second), x_of())
    assert report.outcome == "PASS", str(report)
    assert bool(report.notes) == bool(said)
    assert said in "".join(report.notes)


UNCOMPARED: dict[str, Wrap] = {
    "a set of tensors": lambda z: (z, {z}),
    "a function": lambda z: (z, lambda: z),
    "a module": lambda z: (z, nn.Linear(1, 1)),
    "a generator": lambda z: (z, (n for n in z)),
    "an object without attributes": lambda z: (z, object()),
}


@pytest.mark.parametrize("name", UNCOMPARED)
def test_what_cannot_be_compared_is_unjudged_by_name(name: str) -> None:
    report = check_modules(returning(UNCOMPARED[name]), returning(UNCOMPARED[name]), x_of())
    assert report.outcome == "UNJUDGED", str(report)
    (other,) = (o for o in report.others if o.outcome == "unjudged")
    assert other.name == "output.1"
    assert other.sentence in report.verdict


def array_of(f: Callable[[np.ndarray], np.ndarray]) -> Applied:
    return returning(lambda z: f(z.detach().numpy()))


def test_an_array_that_shares_a_tensors_memory_has_the_tensors_bound() -> None:
    """Two ways to compute the same differ by their rounding."""
    a = returning(lambda z: z.detach().softmax(1).numpy())
    b = returning(lambda z: (z.detach().exp() / z.detach().exp().sum(1, keepdim=True)).numpy())
    report = check_modules(a, b, x_of())
    assert report.outcome == "PASS", str(report)


def test_a_float_that_was_read_from_a_tensor_has_its_bound() -> None:
    a = returning(lambda z: float(z.detach().sum()))
    b = returning(lambda z: z.detach().flip(0).cumsum(0)[-1].sum().item())
    report = check_modules(a, b, x_of())
    assert report.outcome == "PASS", str(report)


def test_numbers_that_numpy_made_are_equal_or_unjudged_or_far_off() -> None:
    by_numpy = array_of(np.tanh)
    assert check_modules(by_numpy, array_of(np.tanh), x_of()).outcome == "PASS"
    rounded = array_of(lambda z: 2 / (1 + np.exp(-2 * z)) - 1)
    report = check_modules(by_numpy, rounded, x_of())
    assert report.outcome == "UNJUDGED", str(report)
    assert check_modules(by_numpy, array_of(np.sinh), x_of()).outcome == "FAIL"


def test_an_object_that_holds_itself_ends() -> None:
    def wrap(z: Tensor) -> list[Any]:
        made: list[Any] = [z]
        made.append(made)
        return made

    assert check_modules(returning(wrap), returning(wrap), x_of()).outcome == "UNJUDGED"


def test_leaves_have_names() -> None:
    value = {"a": [1, Plain("x")], "b": Pair(torch.ones(2), {3}), "c": Whole(torch.ones(1))}
    names = [name for name, _ in leaves_of("out", value)]
    assert names == [
        "out.a.0",
        "out.a.1.numbers",
        "out.b.0",
        "out.b.1",
        "out.c.logits",
        "out.c.told",
    ]


def tensor_in(value: Any) -> Tensor:
    (found,) = (t for _, t in leaves_of("", value) if isinstance(t, Tensor))
    return found


@pytest.mark.parametrize("box", [Whole, Plain, Slotted, lambda x: Pair(x, 1), lambda x: [x]])
def test_inputs_in_any_box_are_copied(box: Callable[[Tensor], Any]) -> None:
    """A model that writes into them disturbs nobody else."""
    given = box(torch.ones(2))
    copied = with_tensors(given, lambda t: t * 2)
    assert type(copied) is type(given)
    assert tensor_in(given).sum() == 2
    assert tensor_in(copied).sum() == 4


def writing(m: Applied, box: Any) -> Tensor:
    out: Tensor = m.fc(tensor_in(box).mul_(2) * 1)
    return out


@pytest.mark.parametrize("box", [Whole, Plain, Slotted, lambda x: Pair(x, 1), lambda x: {"x": x}])
def test_both_models_see_the_inputs_as_they_were(box: Callable[[Tensor], Any]) -> None:
    report: ModulesReport = check_modules(Applied(writing), Applied(writing), box(x_of()))
    assert report.outcome == "PASS", str(report)


OTHER_INPUTS: list[tuple[Callable[..., Tensor], Any]] = [
    (lambda m, a: m.fc(torch.from_numpy(a)), x_of().numpy()),
    (lambda m, a: m.fc(torch.tensor(a, dtype=m.fc.weight.dtype)), x_of().tolist()),
    (lambda m, a: m.fc(m.fc.weight.new_ones(5) * a), 2.5),
    (lambda m, a: m.fc(m.fc.weight.new_ones(5) * len(a)), "abc"),
    (lambda m, a: m.fc(m.fc.weight.new_ones(5)), None),
    (lambda m, a: m.fc(a.logits) * a.told, Whole(x_of(), 2)),
    (lambda m, a: m.fc(a().to(m.fc.weight.dtype)), x_of),
]


@pytest.mark.parametrize("i", range(len(OTHER_INPUTS)))
def test_inputs_that_are_no_tensors(i: int) -> None:
    forward, given = OTHER_INPUTS[i]
    report = check_modules(Applied(forward), Applied(forward), given, loss=squares)
    assert report.outcome == "PASS", str(report)
    assert check_model(Applied(forward), given, loss=squares).outcome == "PASS"
