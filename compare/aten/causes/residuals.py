"""A residual connection that is missing, or added twice."""

from collections.abc import Iterator

from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.terms import (
    Term,
    is_doubled,
    is_parameter,
    is_weighted,
    term_fits,
    terms,
)
from torch_parity.compare.aten.naming import where


@cause("residual_missing", "a residual connection on one side only", general=1)
def residual_missing(case: Case) -> Iterator[str]:
    """x + f(x) against f(x)"""
    for t in _residuals(case):
        if not is_doubled(t):
            yield (
                f"{t.has.called} adds {t.has.names.of(t.term.ref)} "
                f"({where(t.with_it.call)}), {t.lacks.called} does not: the residual connection is "
                f"missing in {t.lacks.called}."
            )


@cause("residual_doubled", "a residual connection that is added twice", general=1)
def residual_doubled(case: Case) -> Iterator[str]:
    """x + x + f(x) against x + f(x)"""
    for t in _residuals(case):
        if is_doubled(t):
            yield (
                f"{t.has.called} adds {t.has.names.of(t.term.ref)} twice "
                f"({where(t.with_it.call)}), {t.lacks.called} once."
            )


def _residuals(case: Case) -> Iterator[Term]:
    for t in terms(case):
        is_weight = any(is_parameter(s, t.term.ref) for s in (t.lacks, t.has))
        if t.term.tensor.dim() > 1 and _is_residual(t) and not (is_weight or is_weighted(t)):
            yield t


def _is_residual(t: Term) -> bool:
    """Both have the term, and what it is added to was computed from it; x + x is 2 x, and no
    residual connection."""
    if term_fits(t.term.tensor, t.without.tensor):
        return False
    holder = t.lacks if any(m is t.term for m in t.lacks.common) else t.has
    if not t.term.common or holder.given_name(t.term.ref):
        return t.term.common and holder.given_name(t.term.ref).startswith("input")
    for side, sum_ in ((t.lacks, t.without), (t.has, t.with_it)):
        if side is holder:
            return side.comes_through(sum_.ref, t.term.ref.place)
    return False
