"""The forms of a normalization: what each side makes of the same quantity, and by which form."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.normalized import Setting, floats_of, settings
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.bounds.tensors import BoundedTensor


@dataclass(frozen=True)
class Form:
    """How a tensor is normalized. kind is "mean" (less its mean), "square" (RMS norm) or "running"
    (by running statistics); affine counts the parameters that are applied: weight, bias."""

    kind: str
    eps: float | None = None
    outside: bool = False
    unbiased: bool = False
    affine: int = 0

    def differs(self, other: "Form") -> list[str]:
        """The names of what is not the same."""
        names = ("kind", "eps", "outside", "unbiased", "affine")
        return [n for n in names if getattr(self, n) != getattr(other, n)]


@dataclass(frozen=True)
class Found:
    """The form of a quantity on the way to a normalized tensor, and what was made by it."""

    form: Form
    made: Made


def quantities(s: Setting, eps: list[float]) -> Iterator[tuple[str, Form, BoundedTensor]]:
    """Every form of the norm of x that is known, and the quantities on the way."""
    centred = computed(lambda: s.x - s.x.mean(s.dims, keepdim=True))
    n = 1
    for d in s.dims:
        n *= s.x.shape[d]
    bases: list[tuple[Form, BoundedTensor | None, BoundedTensor | None]] = [
        (Form("mean"), centred, computed(lambda: s.x.var(s.dims, unbiased=False, keepdim=True))),
        (Form("square"), s.x, computed(lambda: s.x.square().mean(s.dims, keepdim=True))),
    ]
    if n > 1:
        unbiased = computed(lambda: s.x.var(s.dims, unbiased=True, keepdim=True))
        bases.insert(1, (Form("mean", unbiased=True), centred, unbiased))
    if s.running:
        mean, variance = s.running
        bases.append((Form("running"), computed(lambda: s.x - mean), variance))
    for base, top, divisor in bases:
        if top is None or divisor is None:
            continue
        yield "variance", base, divisor
        for e in eps:
            for outside in (False, True):
                form = Form(base.kind, e, outside, base.unbiased)
                yield from _normalized(s, form, top, divisor, e)


def _normalized(
    s: Setting, form: Form, top: BoundedTensor, variance: BoundedTensor, eps: float
) -> Iterator[tuple[str, Form, BoundedTensor]]:
    if form.outside:
        root = computed(lambda: variance.sqrt() + eps)
    else:
        summed = computed(lambda: variance + eps)
        if summed is None:
            return
        yield "variance + eps", form, summed
        root = computed(lambda: summed.sqrt())
    if root is None:
        return
    yield "root", form, root
    inverse = computed(lambda: 1 / root)
    if inverse is not None:
        yield "1 / root", form, inverse
    out = computed(lambda: top / root)
    for affine in range(len(s.parameters) + 1):
        if out is None:
            return
        yield "output", Form(form.kind, eps, form.outside, form.unbiased, affine), out
        if affine < len(s.parameters):
            out = computed(
                lambda out=out, affine=affine: (  # type: ignore[misc]
                    out * s.parameters[0] if affine == 0 else out + s.parameters[1]
                )
            )


def forms(case: Case) -> list[tuple[Found, Found]]:
    """What a makes and what b makes of the same quantity, by other forms."""
    if "norms" not in case.found:
        case.found["norms"] = list(_forms(case)) if case.phase == "forward" else []
    return case.found["norms"]


def _forms(case: Case) -> Iterator[tuple[Found, Found]]:
    eps = floats_of(case, 0.0, 0.05)[:4]
    for s in settings(case):
        of: dict[str, tuple[dict[str, Found], dict[str, Found]]] = {}
        for quantity, form, tensor in quantities(s, eps):
            for i, side in enumerate((case.a, case.b)):
                made = side.find(tensor) or _statistic(side, tensor)
                if made is not None:
                    known = of.setdefault(quantity, ({}, {}))[i]
                    key = f"{form.affine}" if quantity == "output" else ""
                    known.setdefault(key, Found(form, made))
        for found in of.values():
            best = [max(f.values(), key=lambda x: x.form.affine, default=None) for f in found]
            if best[0] is not None and best[1] is not None and best[0].form != best[1].form:
                yield best[0], best[1]


def _statistic(side: Side, tensor: BoundedTensor) -> Made | None:
    """A statistic may be kept without the dimensions that it is over."""
    flat = computed(lambda: tensor.reshape(-1))
    for made in side.made:
        if flat is not None and made.tensor.numel() == tensor.numel() > 1:
            other = computed(lambda made=made: made.tensor.reshape(-1))  # type: ignore[misc]
            if other is not None and fits(flat, other) and numbers.is_sharp(other):
                return made
    return None


def differing(case: Case, name: str) -> Iterator[tuple[Found, Found]]:
    """Where the forms differ in this and in nothing else."""
    for of_a, of_b in forms(case):
        if of_a.form.differs(of_b.form) == [name]:
            yield of_a, of_b
