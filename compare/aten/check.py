"""Is every call of one model right? Do two models compute the same?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.align import align
from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.causes import Cause, Options, causes_of, told
from torch_parity.compare.aten.chosen import chosen_by
from torch_parity.compare.aten.doubled import precisions
from torch_parity.compare.aten.ends import End, ends_of, unmet
from torch_parity.compare.aten.functions import judged_functions
from torch_parity.compare.aten.given_pairs import Pairing, hinted, paired, same_given
from torch_parity.compare.aten.halves import halves_differ
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.aten.others import others_of
from torch_parity.compare.aten.parting import Parting, parting
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.recording import (
    Recording,
    Source,
    believed,
    folder_of,
    own_record,
    pair_in_float64,
    recorded,
    records_of,
    require_same_draws,
    settings_of,
    sources_of,
)
from torch_parity.compare.aten.replay import replay
from torch_parity.compare.aten.reports import ModelReport, ModulesReport
from torch_parity.compare.aten.step import Step
from torch_parity.compare.aten.watch import Watch, unwatched
from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.tensors import to_numpy

Optimizers = tuple[torch.optim.Optimizer, torch.optim.Optimizer]


def check_model(
    model: Callable[..., Any] | Recording | str | Path,
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    optimizer: torch.optim.Optimizer | None = None,
    called: str = "the model",
    keep: str | Path | None = None,
    only: Sequence[str] = (),
    **kwargs: Any,
) -> ModelReport:
    """Run one step of a model, and judge every ATen call of it on the inputs that the call had.

    The step is model(*inputs, **kwargs); with a loss, loss(output, target), or loss(output) without
    a target, and backward from it; with an optimizer, its step. The model may be any nn.Module or
    function, on any device, in any precision. It is left as it was.

    Each output is held to a bound that is derived from the call's own arithmetic; what no bound can
    be derived for is UNJUDGED, by name. A custom autograd.Function is held to the derivative of its
    own forward besides.

    model may also be a recording (record_model), or the path of its file; then the inputs, the loss
    and the optimizer are those of the recording. keep is a folder for the tensors of the step, for
    when they do not fit into memory; nothing is left in it. only are fnmatch patterns of modules
    (blocks.0, *.attn) that are judged, with all inside them; the rest is UNJUDGED.

    Raises:
        InputError (a ValueError): see record_step in step.py; a file that holds no recording; a
            folder that cannot be written to; a pattern that fits no module.
    """
    (source,) = sources_of(
        Step(model, inputs, kwargs, loss, target, optimizer, called, folder_of(keep))
    )
    return check_step(source, only=only)


def check_step(source: Source, watch: Watch = unwatched, only: Sequence[str] = ()) -> ModelReport:
    """check_model, of a step."""
    with believed(source):
        return model_report(own_record(source), source.called, watch, only)


def check_modules(
    a: Callable[..., Any] | Recording | str | Path,
    b: Callable[..., Any] | Recording | str | Path,
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    optimizers: Optimizers | None = None,
    names: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    called: tuple[str, str] = ("a", "b"),
    share_draws: bool = True,
    keep: str | Path | None = None,
    **kwargs: Any,
) -> ModulesReport:
    """Run one step of both on copies of the same inputs, and judge whether they compute the same.

    The two may be different implementations that share no names: they are aligned by their numbers.
    Both are compared in float64, on copies, where a mistake cannot hide behind rounding; and each
    is judged by itself in its own precision, call by call (check_model).

    names says what of b is what of a, {"fc1": "layers.0"}; it is needed only where given tensors
    hold the same numbers. ignore are fnmatch patterns of results, by b's names, that are not
    compared. With share_draws b draws the random numbers that a drew. Both are left as they were.

    Either may be a recording (record_model), or the path of its file, with the inputs, the loss and
    the optimizer that it was recorded with; the other one has those that are given here. keep is a
    folder for the tensors of both, as for check_model.

    Raises:
        InputError (a ValueError): see record_step in step.py; ignore that fits nothing, or leaves
            nothing; one model as both; a file that holds no recording; two recordings that drew
            different random numbers.
    """
    if a is b:
        raise InputError("check_modules: a and b are one model; compare it with a copy.deepcopy")
    if optimizers is not None and not (
        isinstance(optimizers, tuple | list) and len(optimizers) == 2
    ):
        raise InputError("optimizers: expected two, (that of a, that of b)")
    optimizer_a, optimizer_b = optimizers or (None, None)
    first, second = sources_of(
        Step(a, inputs, kwargs, loss, target, optimizer_a, called[0], folder_of(keep)),
        Step(b, inputs, kwargs, loss, target, optimizer_b, called[1], folder_of(keep)),
    )
    return check_steps(first, second, names or {}, ignore, share_draws)


def check_steps(
    a: Source,
    b: Source,
    names: Mapping[str, str],
    ignore: Sequence[str] = (),
    share_draws: bool = True,
    watch: Watch = unwatched,
) -> ModulesReport:
    """check_modules, of two steps that may have inputs and losses of their own."""
    with believed(a, b):
        return _modules_report(a, b, names, ignore, share_draws, watch)


def _modules_report(
    a: Source,
    b: Source,
    names: Mapping[str, str],
    ignore: Sequence[str],
    share_draws: bool,
    watch: Watch,
) -> ModulesReport:
    called = a.called, b.called
    notes: list[str] = []
    own = records_of(a, b, share_draws)
    pair, precision = pair_in_float64(a, b, own, share_draws, notes)
    if share_draws:
        require_same_draws(a, b, pair)
    pairs = given_pairs(own[0], own[1], names)
    differing = (
        *given_differ(own[0], own[1], pairs, called),
        *halves_differ(own, pair, pairs, called),
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
    back, causes = why(there, pair, names, ignore, called, (settings_of(a), settings_of(b)), bits)
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
    pairs = given_pairs(a, b, names)
    ends = _without(ignore, list(ends_of(a, b, pairs)))
    alignment = align(a, b, ends, same_given(a, b, pairs), tick, bits)
    due, unpaired = (
        tuple(n for n in found if not is_ignored(n, ignore)) for found in unmet(a, ends, pairs)
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
    of_a = [e.end.partner for e in there.alignment.ends if is_ignored(e.end.name, ignore)]
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


def model_report(
    record: Record, called: str, watch: Watch = unwatched, only: Sequence[str] = ()
) -> ModelReport:
    """The verdicts on one record."""
    chosen = chosen_by(record, only)
    tick = watch(f"replaying {called}", len(record.calls))
    verdicts = tuple(replay(record, tick, chosen))
    return ModelReport(record, verdicts, tuple(judged_functions(record, chosen)), called)


def _given(record: Record) -> dict[str, np.ndarray]:
    """What was given, as arrays, by name."""
    return {
        name: to_numpy(record.value(ref)) for name, ref in record.given.items() if not ref.unjudged
    }


def given_pairs(a: Record, b: Record, names: Mapping[str, str]) -> dict[str, Pairing]:
    """The given tensors of b that a has as well. names are hints, a's to b's."""
    return paired(_given(a), _given(b), hinted(names, b.given))


def given_differ(
    a: Record, b: Record, pairs: Mapping[str, Pairing], called: tuple[str, str]
) -> list[str]:
    """Weights that should be the same numbers, and are not: same name, same shape, and no
    counterpart anywhere."""
    of_a, of_b = _given(a), _given(b)
    found = []
    for name, array in of_b.items():
        other = of_a.get(name)
        if name in pairs or other is None or other.shape != array.shape or not array.size:
            continue
        gap = np.asarray(np.abs(other.astype(np.float64) - array.astype(np.float64)))
        gap[np.isnan(other) != np.isnan(array)] = np.inf
        at = np.unravel_index(int(np.nan_to_num(gap, posinf=np.inf).argmax()), gap.shape)
        where = f" at {[int(i) for i in at]}" if at else ""
        found.append(
            f"Given differently: {name}{where} is {other[at]:.9g} in {called[0]} and "
            f"{array[at]:.9g} in {called[1]}."
        )
    return found


def _without(ignore: Sequence[str], ends: list[End]) -> list[End]:
    known = [end.name for end in ends]
    for pattern in ignore:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise InputError(f"ignore: no result is called {pattern!r}; {suggest(pattern, known)}")
    left = [end for end in ends if not is_ignored(end.name, ignore)]
    if ignore and not left:
        raise InputError("ignore: no result of the step is left to compare")
    return left


def is_ignored(name: str, ignore: Sequence[str]) -> bool:
    """Whether a result of b, by its name, is left out."""
    return any(fnmatchcase(name, pattern) for pattern in ignore)


__all__ = ["Pairing", "check_model", "check_modules", "check_steps", "recorded"]
