"""A bias that is missing, or added twice."""

from collections.abc import Iterator

from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.terms import Term, is_doubled, is_parameter, terms
from torch_parity.compare.aten.naming import where


@cause("bias_missing", "a bias on one side only", general=1)
def bias_missing(case: Case) -> Iterator[str]:
    """x W + b against x W"""
    for t in _biases(case):
        if not is_doubled(t) and not _recurrent(t):
            yield (
                f"{t.has.called} adds {_bias_name(t)} ({where(t.with_it.call)}), {t.lacks.called} "
                "does not."
            )


@cause("bias_doubled", "a bias that is added twice", general=1)
def bias_doubled(case: Case) -> Iterator[str]:
    """x W + 2 b against x W + b"""
    for t in _biases(case):
        if is_doubled(t):
            yield (
                f"{t.has.called} adds {_bias_name(t)} twice ({where(t.with_it.call)}), "
                f"{t.lacks.called} once."
            )


@cause("two_biases", "one of the two biases of a recurrent layer is left out", general=1)
def two_biases(case: Case) -> Iterator[str]:
    """x W + b + h U + c against x W + b + h U"""
    for t in _biases(case):
        if not is_doubled(t) and _recurrent(t):
            yield (
                f"{t.has.called} adds {_bias_name(t)} as well ({where(t.with_it.call)}), "
                f"{t.lacks.called} has one bias of the two."
            )


def _biases(case: Case) -> Iterator[Term]:
    for t in terms(case):
        named = any(is_parameter(s, t.term.ref) for s in (t.lacks, t.has))
        if t.term.tensor.dim() == 1 and named:
            yield t


def _bias_name(t: Term) -> str:
    return t.has.given_name(t.term.ref) or t.lacks.given_name(t.term.ref)


def _recurrent(t: Term) -> bool:
    """Its sum goes on to gates: a sigmoid and a tanh of parts of it."""
    size = t.term.tensor.numel()
    for side in (t.lacks, t.has):
        at = t.without if side is t.lacks else t.with_it
        reached, gates = {at.ref.place}, set()
        for call in side.record.calls[at.call.index :][:12]:
            if any(r.place in reached for r in call.inputs) or call.index == at.call.index:
                if call.operation in ("sigmoid", "tanh") and call.outputs[0].shape[-1] < size:
                    gates.add(call.operation)
                reached |= {r.place for r in call.outputs}
        if gates:
            return True
    return False
