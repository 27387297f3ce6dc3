"""Random numbers that two models draw by different means, such as dropout by bernoulli and by rand.

The second model cannot draw the first one's numbers then, so results that are computed from them
differ although both may be right.
"""

from collections.abc import Iterator
from dataclasses import replace

from torch_parity.compare.aten.coarse import computed_from
from torch_parity.compare.aten.comparison import Comparison
from torch_parity.compare.aten.drawn_from import in_another_form, numbers_of
from torch_parity.compare.aten.draws import Key, drawing
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call, Record

# Each of these can be made of any other: rand < p is bernoulli(p), and -log(rand) is exponential.
OF_ONE_ANOTHER = {"mask", "uniform", "exponential", "geometric"}


def unjudged_by_draws(there: Comparison, called: tuple[str, str]) -> Comparison:
    """Results that differ and are computed from such numbers are not judged."""
    ends, a, b = there.alignment.ends, there.alignment.a, there.alignment.b
    pairs = [*_unshared(a, b)]
    if not pairs:
        return there
    from_a = computed_from(a, {call.index for call, _ in pairs})
    from_b = computed_from(b, {call.index for _, call in pairs})
    first, second = pairs[0]
    reason = (
        f"{called[0]} draws random numbers by {first.operation} ({where(first)}), {called[1]} by "
        f"{second.operation} ({where(second)}), so they cannot draw the same; compare without "
        "them (eval(), p=0), or hand the numbers in"
    )
    for i, verdict in enumerate(ends):
        end = verdict.end
        drawn = end.ref.place in from_b or (end.a_ref is not None and end.a_ref.place in from_a)
        if verdict.outcome == "wrong" and drawn:
            ends[i] = replace(verdict, outcome="unjudged", reason=reason)
    part = any(e.outcome in ("wrong", "absent") for e in ends)
    return there if part else replace(there, parting=None)


def _unshared(a: Record, b: Record) -> Iterator[tuple[Call, Call]]:
    """Draws of the same size that both models make, each by other means."""
    yield from in_another_form(a, b)
    of_a, of_b = ([(call, numbers_of(r, call)) for call in drawing(r)] for r in (a, b))
    shared = {numbers for _, numbers in of_a} & {numbers for _, numbers in of_b}
    left = [other for other in of_b if other[1] not in shared]
    for call, numbers in of_a:
        rival = next((o for o in left if numbers not in shared and _alike(numbers, o[1])), None)
        if rival is not None:
            left.remove(rival)
            yield call, rival[0]


def _alike(one: tuple[Key, bytes], other: tuple[Key, bytes]) -> bool:
    (name, shape, _), (other_name, other_shape, _) = one[0], other[0]
    same = name == other_name or {name, other_name} <= OF_ONE_ANOTHER
    return same and sorted(shape) == sorted(other_shape)
