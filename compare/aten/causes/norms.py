"""Known mistakes in a normalization: its eps, its variance, its affine part."""

from collections.abc import Iterator

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.norm_forms import differing
from torch_parity.compare.aten.causes.norm_weight import uses, weight_of
from torch_parity.compare.aten.causes.normalized import parameters_of
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.naming import where


@cause("norm_eps_value", "another eps in a normalization")
def norm_eps_value(case: Case) -> Iterator[str]:
    """eps of b, eps of a."""
    for of_a, of_b in differing(case, "eps"):
        yield (
            f"{case.b.called} normalizes with eps={of_b.form.eps:g}, {case.a.called} with "
            f"eps={of_a.form.eps:g} ({where(of_b.made.call)})."
        )


@cause("norm_eps_outside_root", "eps added to the deviation, not to the variance")
def norm_eps_outside_root(case: Case) -> Iterator[str]:
    """1 / (sqrt(var) + eps) against 1 / sqrt(var + eps)."""
    for of_a, of_b in differing(case, "outside"):
        told = [
            f"by sqrt(variance) + {f.form.eps:g}"
            if f.form.outside
            else f"by sqrt(variance + {f.form.eps:g})"
            for f in (of_a, of_b)
        ]
        yield (
            f"{case.b.called} divides {told[1]}, {case.a.called} {told[0]} "
            f"({where(of_b.made.call)}): eps belongs where {case.a.called} has it."
        )


@cause("unbiased_variance", "the variance divided by n - 1, not by n, in a normalization")
def unbiased_variance(case: Case) -> Iterator[str]:
    """var(unbiased=True) against var(unbiased=False)."""
    for of_a, of_b in differing(case, "unbiased"):
        told = ["n - 1" if f.form.unbiased else "n" for f in (of_a, of_b)]
        yield (
            f"{case.b.called}'s variance is divided by {told[1]}, {case.a.called}'s by {told[0]} "
            f"({where(of_b.made.call)}): unbiased={of_a.form.unbiased}."
        )


@cause("norm_without_affine", "a normalization without its weight and bias")
def norm_without_affine(case: Case) -> Iterator[str]:
    """One side applies them."""
    for of_a, of_b in differing(case, "affine"):
        if min(of_a.form.affine, of_b.form.affine):
            continue
        by_has, lacks, has = of_b, case.a, case.b
        if of_a.form.affine:
            by_has, lacks, has = of_a, case.b, case.a
        weight = weight_of(has, by_has.made.call)
        if weight is not None and uses(lacks, weight):
            continue  # it applies the weight in another way
        what = "weight and bias" if max(of_a.form.affine, of_b.form.affine) == 2 else "weight"
        yield (
            f"{lacks.called} normalizes without the {what} that {has.called} applies "
            f"({where(of_b.made.call)})."
        )


@cause("norm_without_affine", "a normalization without its weight and bias", general=1)
def without_affine(case: Case) -> Iterator[str]:
    """One side reads the normalized numbers as they are; the other multiplies by a weight first."""
    for swap in case.swaps:
        for v, y, lacks, has in swap.both_ways:
            x = v.tensor
            if not v.common or y.common or x.dim() < 2:
                continue
            for dims in {(x.dim() - 1,), (0, *range(2, x.dim()))}:
                affine = parameters_of(has, x, dims)
                made = [computed(lambda x=x, w=w: x * w) for w in affine[:1]]  # type: ignore[misc]
                if len(affine) == 2:
                    made.append(computed(lambda x=x, w=affine: x * w[0] + w[1]))  # type: ignore[misc]
                same = numbers.reshaped(y.tensor, tuple(x.shape))
                if same is not None and any(m is not None and fits(m, same) for m in made):
                    yield (
                        f"{has.called} multiplies by the norm's weight ({where(y.call)}), "
                        f"{lacks.called} reads the normalized numbers as they are."
                    )
