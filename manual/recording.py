"""Record which operation makes which tensor, while a hand-written forward runs.

Outside `with recording():` a decorated function is the plain function. Inside, every tensor is an
array that can be handed to an operation, named, and added with +. Everything else (a slice, a
product written inline, a write into it) raises at its own line, because the record would not know
of it.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")
Item = TypeVar("Item")

_tape: ContextVar["Tape | None"] = ContextVar("tape", default=None)
HOMES: dict[str, str] = {}  # the module of each @operation that has been imported


class UnrecordedOperationError(TypeError):
    """A tensor was computed, read or changed by something that is not an @operation."""


@dataclass(frozen=True, eq=False)
class Call:
    """One operation as it ran: its name, its tensors, its options, and the line that called it."""

    operation: str
    inputs: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    options: Mapping[str, Any]
    line: str


@dataclass
class Tape:
    """given are the tensors that the forward began from; calls are what it did with them, in order.

    Both keep every tensor alive, so that an id stands for one tensor only.
    """

    given: dict[str, np.ndarray] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    known: dict[int, np.ndarray] = field(default_factory=dict)

    def give(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same tensors, watched from here on: parameters, x, y, masks, state."""
        with _unwatched():
            watched = {name: self._watch(array) for name, array in tensors.items()}
        self.given |= watched
        return watched

    def call(self, function: Callable[..., Any], inputs: Any, options: Mapping[str, Any]) -> Any:
        """Run an operation on watched tensors, and keep the call."""
        for i, tensor in enumerate(inputs):
            if id(tensor) not in self.known:
                raise UnrecordedOperationError(
                    f"{_line()}: {_input_name(function, i)} of {function.__name__} was made by no "
                    "recorded operation; give it to the tape, or make it with an @operation"
                )
        options = {**defaults(function), **options}
        for name, value in options.items():
            if not isinstance(value, bool | int | float | str | tuple | None):
                raise UnrecordedOperationError(
                    f"{_line()}: the option {name} of {function.__name__} is a "
                    f"{type(value).__name__}, expected a Python value; tensors are positional"
                )
        with _unwatched():
            made = function(*(x.view(np.ndarray) for x in inputs), **options)
            outputs = tuple(self._watch(x) for x in (made if isinstance(made, tuple) else (made,)))
        self.calls.append(Call(function.__name__, tuple(inputs), outputs, options, _line()))
        return outputs if isinstance(made, tuple) else outputs[0]

    def _watch(self, array: np.ndarray) -> np.ndarray:
        tensor = np.array(array).view(Recorded)
        tensor.flags.writeable = False
        self.known[id(tensor)] = tensor
        return tensor


@contextmanager
def recording() -> Iterator[Tape]:
    """While open, operations on the tape's tensors are kept; see Tape."""
    tape = Tape()
    token = _tape.set(tape)
    try:
        yield tape
    finally:
        _tape.reset(token)


@contextmanager
def _unwatched() -> Iterator[None]:
    """Inside an operation everything is allowed: it is one step of the record."""
    token = _tape.set(None)
    try:
        yield
    finally:
        _tape.reset(token)


def operation(function: Callable[Inputs, Result]) -> Callable[Inputs, Result]:
    """Make a hand-written forward known to the record.

    Its positional arguments are tensors, its keyword-only ones are options (Python values).
    """
    HOMES[function.__name__] = function.__module__

    @wraps(function)
    def call(*inputs: Inputs.args, **options: Inputs.kwargs) -> Result:
        tape = _tape.get()
        if tape is None:
            return function(*inputs, **options)
        return cast(Result, tape.call(function, inputs, options))

    return call


def _refuse(what: str) -> None:
    if _tape.get() is not None:
        raise UnrecordedOperationError(
            f"{_line()}: {what} of a recorded tensor is not an @operation, so the record would not "
            "know of it; write an @operation for it, and call that"
        )


class Recorded(np.ndarray):
    """An array that refuses what the record cannot see; + is recorded as the operation add."""

    def __array_finalize__(self, obj: Any) -> None:
        if isinstance(obj, Recorded):
            _refuse("a slice, copy, view or reshape")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if ufunc is np.add and method == "__call__" and not kwargs and _tape.get() is not None:
            from torch_parity.manual.ops.add import add

            return add(*inputs)
        _refuse(f"numpy.{ufunc.__name__}")
        plain = [x.view(np.ndarray) if isinstance(x, Recorded) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        _refuse(f"numpy.{func.__name__}")
        return super().__array_function__(func, types, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        _refuse("an entry or slice")
        return super().__getitem__(index)

    def __float__(self) -> float:
        _refuse("float()")
        return float(self.view(np.ndarray))

    def __int__(self) -> int:
        _refuse("int()")
        return int(self.view(np.ndarray))

    def __bool__(self) -> bool:
        _refuse("the truth value")
        return bool(self.view(np.ndarray))

    def item(self, *args: Any) -> Any:
        """An entry as a Python number: refused, as every look at the numbers is."""
        _refuse("item()")
        return self.view(np.ndarray).item(*args)

    def tolist(self) -> Any:
        """The entries as Python numbers: refused, as every look at the numbers is."""
        _refuse("tolist()")
        return self.view(np.ndarray).tolist()


@cache
def _parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    return tuple(signature(function).parameters.values())


@cache
def input_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's tensors: its positional parameters."""
    positional = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)
    return tuple(p.name for p in _parameters(function) if p.kind in positional)


@cache
def option_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's options: its keyword-only parameters."""
    return tuple(p.name for p in _parameters(function) if p.kind is Parameter.KEYWORD_ONLY)


@cache
def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The options that a call may leave out, with their values."""
    named = (p for p in _parameters(function) if p.kind is Parameter.KEYWORD_ONLY)
    return {p.name: p.default for p in named if p.default is not Parameter.empty}


def takes_any_number(function: Callable[..., Any]) -> bool:
    """Whether the function takes any number of tensors, as in stack(*inputs)."""
    return any(p.kind is Parameter.VAR_POSITIONAL for p in _parameters(function))


def by_name(function: Callable[..., Any], tensors: Sequence[Item]) -> dict[str, tuple[Item, ...]]:
    """What each of a function's positional parameters is given: one tensor, or, for one that takes
    any number, all that are left."""
    names = input_names(function)
    found: dict[str, tuple[Item, ...]]
    found = {name: (x,) for name, x in zip(names, tensors, strict=False)}
    if takes_any_number(function):
        found[names[-1]] = tuple(tensors[len(names) - 1 :])
    return found


def _input_name(function: Callable[..., Any], i: int) -> str:
    names = input_names(function)
    return names[i] if i < len(names) else f"{names[-1]}[{i}]"


def _line() -> str:
    """file:line of the caller, outside this file and NumPy."""
    frame = sys._getframe()
    while frame.f_back and _is_a_wrapper(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _is_a_wrapper(module: str) -> bool:
    return module == __name__ or module.partition(".")[0] == "numpy"
