"""Running statistics: their momentum, and which variance they keep."""

from collections.abc import Iterator

from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.normalized import Setting, floats_of, settings
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.naming import where
from torch_parity.compare.bounds.tensors import BoundedTensor


@cause("running_statistics_momentum", "running statistics kept with another momentum or variance")
def running_statistics_momentum(case: Case) -> Iterator[str]:
    """(1 - m) old + m new, for other m, or another variance."""
    if case.end is None or "running_" not in case.parting.end.end.name:
        return
    of_a, of_b = case.end
    name = case.parting.end.end.name.removeprefix("new ")
    old_ref = case.b.record.given.get(name)
    old = None if old_ref is None else case.b.number(old_ref)
    if old is None:
        return
    momenta = [m for f in floats_of(case, 0.0, 1.0) for m in (f, 1 - f)]
    momenta.append(1.0)  # the first step of momentum=None: a mean over all steps
    for s in settings(case):
        if 0 not in s.dims:
            continue
        told: list[tuple[float, str] | None] = [None, None]
        for what, new in _statistics(s, name):
            for m in momenta:
                y = computed(lambda new=new, m=m: (1 - m) * old + m * new)  # type: ignore[misc]
                for i, made in enumerate((of_a, of_b)):
                    if y is not None and told[i] is None and fits(y, made.tensor):
                        told[i] = (m, what)
        a, b = told
        if a is not None and b is not None and a != b:
            which = "momentum" if a[0] != b[0] else "variance"
            yield (
                f"{case.b.called} keeps {name} as {1 - b[0]:g} old + {b[0]:g} {b[1]}, "
                f"{case.a.called} as {1 - a[0]:g} old + {a[0]:g} {a[1]} "
                f"({where(of_b.call)}): another {which}."
            )


def _statistics(s: Setting, name: str) -> Iterator[tuple[str, BoundedTensor]]:
    if name.endswith("mean"):
        made = [("mean", computed(lambda: s.x.mean(s.dims)))]
    else:
        made = [
            ("variance (n - 1)", computed(lambda: s.x.var(s.dims, unbiased=True))),
            ("variance (n)", computed(lambda: s.x.var(s.dims, unbiased=False))),
        ]
    for what, tensor in made:
        if tensor is not None:
            yield what, tensor
