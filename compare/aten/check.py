"""Is every call of one model right? Do two models compute the same?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import nn

from torch_parity.compare.aten.alignment import Alignment, align
from torch_parity.compare.aten.causes import Cause, Options, causes_of, told
from torch_parity.compare.aten.doubled import halves_of, in_float64, precisions
from torch_parity.compare.aten.draws import Draws
from torch_parity.compare.aten.ends import End, ends_of, unmet
from torch_parity.compare.aten.functions import judged_functions
from torch_parity.compare.aten.given_pairs import Pairing, paired, same_given
from torch_parity.compare.aten.lazy import initialised
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.aten.others import others_of
from torch_parity.compare.aten.parting import Parting, parting
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.replay import replay
from torch_parity.compare.aten.reports import ModelReport, ModulesReport
from torch_parity.compare.aten.step import Step, options_of, record_step
from torch_parity.compare.aten.unchanged import fresh, unchanged
from torch_parity.compare.aten.watch import Watch, unwatched
from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.tensors import to_numpy

Optimizers = tuple[torch.optim.Optimizer, torch.optim.Optimizer]


def check_model(
    model: Callable[..., Any],
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    optimizer: torch.optim.Optimizer | None = None,
    called: str = "the model",
    **kwargs: Any,
) -> ModelReport:
    """Run one step of a model, and judge every ATen call of it on the inputs that the call had.

    The step is model(*inputs, **kwargs); with a loss, loss(output, target), or loss(output) without
    a target, and backward from it; with an optimizer, its step. The model may be any nn.Module or
    function, on any device, in any precision. It is left as it was.

    Each output is held to a bound that is derived from the call's own arithmetic; what no bound can
    be derived for is UNJUDGED, by name. A custom autograd.Function is held to the derivative of its
    own forward besides.

    Raises:
        InputError (a ValueError): see record_step in step.py.
    """
    return check_step(Step(model, inputs, kwargs, loss, target, optimizer, called))


def check_step(step: Step, watch: Watch = unwatched) -> ModelReport:
    """check_model, of a step."""
    return model_report(recorded(initialised(step)), step.called, watch)


def check_modules(
    a: Callable[..., Any],
    b: Callable[..., Any],
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    optimizers: Optimizers | None = None,
    names: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    called: tuple[str, str] = ("a", "b"),
    share_draws: bool = True,
    **kwargs: Any,
) -> ModulesReport:
    """Run one step of both on copies of the same inputs, and judge whether they compute the same.

    The two may be different implementations that share no names: they are aligned by their numbers.
    Both are compared in float64, on copies, where a mistake cannot hide behind rounding; and each
    is judged by itself in its own precision, call by call (check_model).

    names says what of b is what of a, {"fc1": "layers.0"}; it is needed only where given tensors
    hold the same numbers. ignore are fnmatch patterns of results, by b's names, that are not
    compared. With share_draws b draws the random numbers that a drew. Both are left as they were.

    Raises:
        InputError (a ValueError): see record_step in step.py; ignore that fits nothing, or leaves
            nothing; one model as both.
    """
    if a is b:
        raise InputError("check_modules: a and b are one model; compare it with a copy.deepcopy")
    if optimizers is not None and not (
        isinstance(optimizers, tuple | list) and len(optimizers) == 2
    ):
        raise InputError("optimizers: expected two, (that of a, that of b)")
    optimizer_a, optimizer_b = optimizers or (None, None)
    steps = [
        Step(m, inputs, kwargs, loss, target, o, c)
        for m, o, c in ((a, optimizer_a, called[0]), (b, optimizer_b, called[1]))
    ]
    return check_steps(steps[0], steps[1], names or {}, ignore, share_draws)


def check_steps(
    a: Step,
    b: Step,
    names: Mapping[str, str],
    ignore: Sequence[str] = (),
    share_draws: bool = True,
    watch: Watch = unwatched,
) -> ModulesReport:
    """check_modules, of two steps that may have inputs and losses of their own."""
    a, b = initialised(a), initialised(b)
    called = a.called, b.called
    notes: list[str] = []
    own = [recorded(a)]
    own.append(recorded(b, own[0] if share_draws else None))
    pair, precision = _in_float64(a, b, own, share_draws, notes)
    differing = (
        *given_differ(own[0], own[1], names, called),
        *halves_differ(own, pair, called),
    )
    bits = min((digits(r.dtype) for o in own for r in o.given.values() if r.shape), default=53)
    there = compared(pair, names, ignore, watch("comparing", len(pair[1].calls)), bits)
    if any(r.compiled for r in own) and pair is not own:
        # its kernels for the models' own type are others than those for float64
        here = compared(own, names, ignore)
        if here.doubt > there.doubt:
            there, pair = here, own
            precision = " and ".join(sorted(precisions(own[0]) | precisions(own[1])))
    models = tuple(model_report(r, c, watch) for r, c in zip(own, called, strict=True))
    back, causes = why(there, pair, names, ignore, called, (options_of(a), options_of(b)), bits)
    return ModulesReport(
        there.alignment,
        there.parting,
        models,
        there.lacking,
        there.unpaired,
        tuple(c.name for c in causes) if len(causes) == 1 else (),
        told(causes),
        differing=differing,
        others=tuple(others_of(own[0], own[1], called)),
        notes=tuple(notes),
        called=called,
        precision=precision,
        back=back,
    )


@dataclass(frozen=True)
class Comparison:
    """b's calls held to a's numbers: where they part, and what b lacks."""

    alignment: Alignment
    parting: Parting | None
    lacking: tuple[str, ...]
    unpaired: tuple[str, ...]

    @property
    def doubt(self) -> int:
        """2 where something is wrong, 1 where something is not judged."""
        outcomes = {e.outcome for e in self.alignment.ends}
        if self.lacking or outcomes & {"wrong", "absent"}:
            return 2
        return int(bool(self.unpaired) or outcomes != {"right"})


def compared(
    pair: Sequence[Record],
    names: Mapping[str, str],
    ignore: Sequence[str] = (),
    tick: Callable[[], None] = lambda: None,
    bits: int = 53,
) -> Comparison:
    """The second record, held to the first."""
    a, b = pair
    pairs = paired(_given(a), _given(b), _hints(names, pair))
    ends = _without(ignore, list(ends_of(a, b, pairs)))
    alignment = align(a, b, ends, same_given(a, b, pairs), tick, bits)
    due, unpaired = (
        tuple(n for n in found if not _ignored(n, ignore)) for found in unmet(a, ends, pairs)
    )
    return Comparison(alignment, parting(alignment), due, unpaired)


def why(
    there: Comparison,
    pair: Sequence[Record],
    names: Mapping[str, str],
    ignore: Sequence[str],
    called: tuple[str, str],
    options: tuple[Options, Options],
    bits: int = 53,
) -> tuple[Parting | None, tuple[Cause, ...]]:
    """Where the two part as seen from the other side, and the known mistake that explains it. What
    b lacks shows only from there."""
    if there.parting is None and not there.lacking:
        return None, ()
    of_a = [e.end.partner for e in there.alignment.ends if _ignored(e.end.name, ignore)]
    other = {of_b: of_a for of_a, of_b in names.items()}
    here = compared(
        (pair[1], pair[0]), other, tuple(n for n in of_a if n in pair[0].results), bits=bits
    )
    causes = causes_of(
        there.alignment,
        there.parting,
        here.alignment,
        here.parting,
        called,
        options,
        there.lacking,
    )
    return here.parting, causes


def recorded(step: Step, draws_of: Record | None = None) -> Record:
    """The step's record; the model and the optimizer are left as they were."""
    draws = None if draws_of is None else Draws(draws_of)
    own = fresh(step.inputs), fresh(dict(step.keywords or {})), fresh(step.target)
    step = replace(step, inputs=own[0], keywords=own[1], target=own[2])
    with torch.enable_grad(), unchanged(_module(step), step.optimizer):
        return record_step(step, draws)


def model_report(record: Record, called: str, watch: Watch = unwatched) -> ModelReport:
    """The verdicts on one record."""
    tick = watch(f"replaying {called}", len(record.calls))
    verdicts = tuple(replay(record, tick))
    return ModelReport(record, verdicts, tuple(judged_functions(record)), called)


def _module(step: Step) -> nn.Module:
    """Of a function nothing can be put back but the generators."""
    return step.model if isinstance(step.model, nn.Module) else nn.Module()


def _in_float64(
    a: Step, b: Step, own: list[Record], share_draws: bool, notes: list[str]
) -> tuple[list[Record], str]:
    """Both records in float64, or as they are."""
    kinds = precisions(own[0]) | precisions(own[1])
    precision = " and ".join(sorted(kinds)) or "float64"
    if kinds <= {"float64"}:
        return own, "float64"
    try:
        with in_float64(a) as step:
            first = recorded(step)
        with in_float64(b) as step:
            return [first, recorded(step, first if share_draws else None)], "float64"
    except InputError as error:
        notes.append(f"Compared in {precision}: in float64 {error}.")
        return own, precision


def _given(record: Record) -> dict[str, np.ndarray]:
    """What was given, as arrays, by name."""
    return {
        name: to_numpy(record.value(ref)) for name, ref in record.given.items() if not ref.unjudged
    }


def _hints(names: Mapping[str, str], pair: Sequence[Record]) -> dict[str, str]:
    """{"fc1": "layers.0"} for each tensor of both: b's layers.0.weight is a's fc1.weight."""
    found = {}
    for name in pair[1].given:
        for of_a, of_b in names.items():
            if name == of_b or name.startswith(f"{of_b}."):
                found[name] = of_a + name[len(of_b) :]
    return found


def given_differ(
    a: Record, b: Record, names: Mapping[str, str], called: tuple[str, str]
) -> list[str]:
    """Weights that should be the same numbers, and are not: same name, same shape, and no
    counterpart anywhere."""
    of_a, of_b = _given(a), _given(b)
    pairs = paired(of_a, of_b, _hints(names, (a, b)))
    found = []
    for name, array in of_b.items():
        other = of_a.get(name)
        if name in pairs or other is None or other.shape != array.shape or not array.size:
            continue
        gap = np.abs(other.astype(np.float64) - array.astype(np.float64))
        gap[np.isnan(other) != np.isnan(array)] = np.inf
        at = np.unravel_index(int(np.nan_to_num(gap, posinf=np.inf).argmax()), gap.shape)
        index = [int(i) for i in at]
        found.append(
            f"Given differently: {name} at {index} is {other[at]:.9g} in {called[0]} and "
            f"{array[at]:.9g} in {called[1]}."
        )
    return found


def halves_differ(
    own: Sequence[Record], pair: Sequence[Record], called: tuple[str, str]
) -> Iterator[str]:
    """A half that one side alone computes in, and that is gone in float64: autocast."""
    gone = [halves_of(o) - halves_of(p) for o, p in zip(own, pair, strict=True)]
    for kind in sorted(gone[0] ^ gone[1]):
        one, other = called if kind in gone[0] else called[::-1]
        yield f"{one} computes in {kind} (autocast), and {other} does not."


def _without(ignore: Sequence[str], ends: list[End]) -> list[End]:
    known = [end.name for end in ends]
    for pattern in ignore:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise InputError(f"ignore: no result is called {pattern!r}; {suggest(pattern, known)}")
    left = [end for end in ends if not _ignored(end.name, ignore)]
    if ignore and not left:
        raise InputError("ignore: no result of the step is left to compare")
    return left


def _ignored(name: str, ignore: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in ignore)


__all__ = ["Pairing", "check_model", "check_modules", "check_steps"]
