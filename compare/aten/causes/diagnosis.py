"""Which known mistake explains where two models part: the one that fits, if only one does."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.causes import (  # noqa: F401 (each adds to the catalogue)
    activations,
    attention_scores,
    biases,
    casts,
    convolutions,
    factors,
    gradients,
    heads,
    losses,
    norm_place,
    norms,
    optimizers,
    recurrent,
    residuals,
    rotary,
    running_statistics,
    stale_gradients,
    training_mode,
    weights,
)
from torch_parity.compare.aten.causes.borrowed import Borrowed
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.registry import CATALOGUE, Cause, Entry
from torch_parity.compare.aten.causes.side import Side
from torch_parity.compare.aten.parting import Parting

Options = Mapping[str, Mapping[str, Any]]


def causes_of(
    ab: Alignment,
    parting: Parting | None,
    ba: Alignment | None = None,
    back: Parting | None = None,
    called: tuple[str, str] = ("a", "b"),
    options: tuple[Options, Options] = ({}, {}),
    lacking: tuple[str, ...] = (),
) -> tuple[Cause, ...]:
    """The known mistake that explains it, or none; several if each fits, which a reader has to
    decide between.

    back is where the two part as seen from the other side (ba); options are the settings of the
    optimizers, by parameter.
    """
    for case in _cases(ab, parting, ba, back, called, options, lacking):
        found = explained(case)
        if found:
            return found
    return ()


def _cases(
    ab: Alignment,
    parting: Parting | None,
    ba: Alignment | None,
    back: Parting | None,
    called: tuple[str, str],
    options: tuple[Options, Options],
    lacking: tuple[str, ...],
) -> Iterator[Case]:
    if parting is not None:
        yield case_of(ab, parting, called, options, lacking)
    if ba is not None and back is not None:
        yield case_of(ba, back, called[::-1], options[::-1], ())


def case_of(
    alignment: Alignment,
    parting: Parting,
    called: tuple[str, str],
    options: tuple[Options, Options],
    lacking: tuple[str, ...],
) -> Case:
    """Both stretches on bounded numbers."""
    a = Side(called[0], alignment.a, parting.of_a, None, alignment.known_of_a, options[0])
    borrowed = Borrowed(alignment)
    b = Side(called[1], alignment.b, parting.of_b, borrowed, alignment.known, options[1])
    return Case(a, b, alignment, parting, lacking)


def explained(case: Case) -> tuple[Cause, ...]:
    """The causes that fit, of the least general kind that has any."""
    for general in sorted({entry.general for entry in CATALOGUE}):
        found: dict[str, Cause] = {}
        for entry in CATALOGUE:
            if entry.general == general and case.phase in entry.phases:
                sentence = _sentence_of(entry, case)
                if sentence is not None:
                    found[entry.name] = Cause(entry.name, sentence)
        if found:
            return tuple(found.values())
    return ()


def _sentence_of(entry: Entry, case: Case) -> str | None:
    """What a known mistake says, if it explains the case. One that looks for something else in
    these tensors than they have (rows of a single number) does not: no name may cost the verdict.
    """
    try:
        return next(iter(entry.test(case)), None)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return None


def told(causes: tuple[Cause, ...]) -> tuple[str, ...]:
    """The sentences: of one cause its own; of several that none of them is known to be it."""
    if len(causes) < 2:
        return tuple(c.sentence for c in causes)
    names = ", ".join(c.name for c in causes)
    return (f"Ambiguous: each of {names} would explain it.", *(c.sentence for c in causes))
