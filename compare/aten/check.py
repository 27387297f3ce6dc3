"""Is every call of one model right? Do two models compute the same?"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.again import unjudged_unless_repeatable
from torch_parity.compare.aten.causes import told
from torch_parity.compare.aten.chosen import chosen_by
from torch_parity.compare.aten.coarse import unjudged_by_rounding
from torch_parity.compare.aten.comparison import compared, kept_elsewhere, why
from torch_parity.compare.aten.covered import ones_of, zeros_of
from torch_parity.compare.aten.doubled import precisions
from torch_parity.compare.aten.drawn_from import drawn_otherwise
from torch_parity.compare.aten.ends import met_in_order
from torch_parity.compare.aten.functions import judged_functions
from torch_parity.compare.aten.given import given_differ, given_pairs, require_known
from torch_parity.compare.aten.halves import halves_differ
from torch_parity.compare.aten.keywords import explains_keywords
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.aten.other_path import other_calls, other_constants
from torch_parity.compare.aten.others import others_of
from torch_parity.compare.aten.output_types import output_types_differ
from torch_parity.compare.aten.own_errors import far_from_float64
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.recording import (
    Recording,
    Source,
    believed,
    folder_of,
    own_record,
    pair_in_float64,
    records_of,
    require_same_draws,
    settings_of,
    sources_of,
)
from torch_parity.compare.aten.replay import replay
from torch_parity.compare.aten.report import ModelReport
from torch_parity.compare.aten.settings import classes_differ, limits_not_reached, settings_differ
from torch_parity.compare.aten.step import Step
from torch_parity.compare.aten.uncompared import hidden_settings, not_compared
from torch_parity.compare.aten.unshared_draws import unjudged_by_draws
from torch_parity.compare.aten.watch import Watch, unwatched
from torch_parity.compare.errors import InputError
from torch_parity.compare.show.progress import watched_in_notebook

Optimizers = tuple[torch.optim.Optimizer, torch.optim.Optimizer]


@explains_keywords
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
    with watched_in_notebook() as watch:
        return check_step(source, watch, only)


def check_step(source: Source, watch: Watch = unwatched, only: Sequence[str] = ()) -> ModelReport:
    """check_model, of a step."""
    with believed(source):
        return model_report(own_record(source), source.called, watch, only)


@explains_keywords
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
    with watched_in_notebook() as watch:
        return check_steps(first, second, names or {}, ignore, share_draws, watch)


def check_steps(
    a: Source,
    b: Source,
    names: Mapping[str, str],
    ignore: Sequence[str] = (),
    share_draws: bool = True,
    watch: Watch = unwatched,
    more_follow: bool = False,
) -> ModulesReport:
    """check_modules, of two steps that may have inputs and losses of their own. more_follow says
    that later steps are judged too, and these show how the settings of the optimizers differ."""
    # memory that nothing was written into yet may hold what the processor complains of
    with believed(a, b), np.errstate(invalid="ignore"):
        return _modules_report(a, b, names, ignore, share_draws, watch, more_follow)


def _modules_report(
    a: Source,
    b: Source,
    names: Mapping[str, str],
    ignore: Sequence[str],
    share_draws: bool,
    watch: Watch,
    more_follow: bool,
) -> ModulesReport:
    called = a.called, b.called
    _require_of_both(a, b)
    notes: list[str] = []
    own = records_of(a, b, share_draws)
    require_known(names, own, called)
    pair, precision = pair_in_float64(a, b, own, share_draws, notes)
    if share_draws:
        require_same_draws(a, b, pair)
    pairs = given_pairs(own[0], own[1], names)
    differing = (
        *given_differ(own[0], own[1], pairs, called),
        *halves_differ(own, pair, pairs, called),
        *output_types_differ(own, called),
        *drawn_otherwise(pair[0], pair[1], called),
    )
    bits = min((digits(r.dtype) for o in own for r in o.given.values() if r.shape), default=53)
    there = compared(pair, names, ignore, watch("comparing", len(pair[1].calls)), bits)
    unjudged_by_rounding(there.alignment, called)
    there = unjudged_by_draws(there, called)
    there = unjudged_unless_repeatable(there, (a, b), own, pair)
    notes.extend(met_in_order((v.end for v in there.alignment.ends), called))
    notes.extend(not_compared(own, called))
    notes.extend(other_calls(own, pair, called))
    notes.extend(limits_not_reached(pair, called))
    if any(r.compiled for r in own) and pair is not own:
        # its kernels for the models' own type are others than those for float64
        here = compared(own, names, ignore)
        if here.doubt > there.doubt:
            there, pair = here, own
            precision = " and ".join(sorted(precisions(own[0]) | precisions(own[1])))
    settings = settings_of(a), settings_of(b)
    there = kept_elsewhere(there, *settings)
    if not there.doubt:
        notes.extend(hidden_settings(own, called))
    if not (there.doubt or more_follow):  # else the step itself shows what differs
        differing += tuple(settings_differ(*settings, own[1], there.pairs, called))
        notes.extend(classes_differ(*settings, own, called))
    models = tuple(model_report(r, c, watch) for r, c in zip(own, called, strict=True))
    back, causes = why(there, pair, names, ignore, called, settings, bits)
    return ModulesReport(
        there.alignment,
        there.parting,
        models,
        there.lacking,
        there.unpaired,
        tuple(c.name for c in causes) if len(causes) == 1 else (),
        told(causes),
        differing=differing,
        others=(
            *others_of(own, pair, called),
            *far_from_float64(own, pair, called),
            *other_constants(own, pair, called),
        ),
        notes=tuple(notes),
        called=called,
        precision=precision,
        back=back,
    )


def _require_of_both(a: Source, b: Source) -> None:
    """A loss or an optimizer that only one has leaves nothing to compare its results with."""
    for part, named in (("loss", "a loss"), ("optimizer", "an optimizer")):
        one, other = (isinstance(s, Step) and getattr(s, part) is not None for s in (a, b))
        if isinstance(a, Step) and isinstance(b, Step) and one != other:
            has, lacks = (a.called, b.called) if one else (b.called, a.called)
            raise InputError(f"{has} has {named}, {lacks} none: give one to both, or to neither")


def model_report(
    record: Record, called: str, watch: Watch = unwatched, only: Sequence[str] = ()
) -> ModelReport:
    """The verdicts on one record."""
    chosen = chosen_by(record, only)
    tick = watch(f"replaying {called}", len(record.calls))
    verdicts = tuple(replay(record, tick, chosen))
    functions = tuple(judged_functions(record, chosen))
    unshown = tuple(zeros_of(record)), tuple(ones_of(record))
    return ModelReport(record, verdicts, functions, called, *unshown)
