"""A user's forward and backward: their numbers, the exact derivative, and how much of the
difference between gradient and derivative is rounding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from torch_parity.compare.gradients.analytic import analytic
from torch_parity.manual.gradients.followed import FollowedRun
from torch_parity.manual.gradients.tangents import DEVIATIONS, ROUNDOFF, STEP, exactly

Arrays = Mapping[str, np.ndarray]
FEWER = 2.0**-8  # long double has 11 bits more: rounding falls by 2^-11, a mistake not at all


@dataclass(frozen=True)
class Pair:
    """upstream is None where the forward is a loss, which makes one number.

    Both functions are given copies: one that writes into its arguments changes nothing else.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    upstream: np.ndarray | None

    def made(self, inputs: Arrays) -> np.ndarray:
        """forward(*inputs)"""
        return np.asarray(self.forward(*(analytic(np.array(a)) for a in inputs.values())))

    def cost(self, inputs: Arrays) -> np.ndarray:
        """sum(upstream * forward(*inputs))                                              # -> []"""
        out = self.made(inputs)
        return np.asarray(out if self.upstream is None else (self.upstream * out).sum())

    def rounding(self, inputs: Arrays) -> float:
        """How far rounding may move the cost: the rounding of its sum, and that of forward where
        forward can be followed."""
        upstream = np.asarray(1.0 if self.upstream is None else self.upstream)
        of_sum = self.roundoff(inputs) * np.abs(upstream * self.made(inputs)).sum()
        run = self._followed(inputs)
        of_forward = np.sqrt((upstream**2 * run.outputs[0].variance).sum()) if run else 0.0
        return float(DEVIATIONS * (of_sum + of_forward))

    def roundoff(self, inputs: Arrays) -> float:
        """That of the precision that forward computes in. It is lower than float64 where the result
        is, or where it hardly ever changes when every input moves by less than the lower one
        tells apart."""
        made = self.made(inputs)
        for kind in (np.float32, np.float16):
            eps = float(np.finfo(kind).eps)
            if made.dtype == kind:
                return eps / 2
            little, more = (
                np.count_nonzero(self.made({n: a * (1 + d) for n, a in inputs.items()}) != made)
                for d in (eps * 2.0**-12, eps * 4)
            )
            if little < more / 16:
                return eps / 2
        return ROUNDOFF

    def gradients(self, inputs: Arrays) -> tuple[np.ndarray, ...]:
        """backward(upstream, *inputs), one for each input."""
        upstream = () if self.upstream is None else (self.upstream,)
        dtype = next(iter(inputs.values())).dtype
        copies = (np.array(u, dtype) for u in upstream), (a.copy() for a in inputs.values())
        made = self.backward(*chain(*copies))
        return tuple(np.asarray(g) for g in (made if isinstance(made, tuple) else (made,)))

    def derivative(
        self, inputs: Arrays, precision: type[np.complexfloating] = np.complex128
    ) -> dict[str, np.ndarray] | None:
        """The derivative of the cost for every entry; None if forward does not pass complex numbers
        on."""
        slopes = {}
        for name, a in inputs.items():
            moved = np.array(a, precision)
            slopes[name] = np.empty(a.shape, moved.real.dtype)
            for i in np.ndindex(a.shape):
                moved[i] = a[i] + 1j * STEP
                try:
                    out = self.cost({**inputs, name: moved})
                except (TypeError, ValueError):
                    return None
                if not np.iscomplexobj(out):
                    return None
                slopes[name][i] = out.imag / STEP
                moved[i] = a[i]
        return slopes

    def explain(
        self, inputs: Arrays, off: Arrays, over: Arrays
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Which inputs have a wrong gradient, and which have one that cannot be judged; off says
        how far the gradients are from the derivative, over says in which entries this is too far.

        A difference is rounding if it is within the bound that follows from every step of forward,
        and if it falls in long double as rounding does. Where only one of the two holds, it is not
        judged. Where neither does, it is a mistake, unless the steps of backward may round as much,
        in both precisions: where an output saturates, nothing is left of a (1 - a).
        """
        names = [n for n, where in over.items() if where.any()]
        bounds = self._derived_bounds(inputs) if names else {}
        in_long_double = self._in_long_double(inputs) if names else {}
        wrong: list[str] = []
        unjudged: list[str] = []
        for name in names:
            derived = name in bounds and bool(np.all((off[name] <= bounds[name])[over[name]]))
            falls = name in in_long_double and bool(
                in_long_double[name].max() <= FEWER * off[name].max()
            )
            if not (derived and falls):
                lost = (
                    derived
                    or falls
                    or self._lost_in_backward(
                        inputs, name, off[name], over[name], in_long_double.get(name)
                    )
                )
                (unjudged if lost else wrong).append(name)
        return tuple(wrong), tuple(unjudged)

    def _lost_in_backward(
        self,
        inputs: Arrays,
        name: str,
        off: np.ndarray,
        over: np.ndarray,
        longer: np.ndarray | None,
    ) -> bool:
        """Whether every difference is below what the steps of backward may round."""
        bound = self._bounds_of_backward(inputs).get(name)
        if bound is None or not np.all((off <= bound)[over]):
            return False
        gain = float(np.finfo(np.longdouble).eps / np.finfo(np.float64).eps)
        return longer is None or bool(np.all((longer <= gain * bound)[over]))

    def _bounds_of_backward(self, inputs: Arrays) -> Arrays:
        """By following backward through its steps; {} where that cannot be done."""
        upstream = [] if self.upstream is None else [np.array(self.upstream, np.float64)]
        values = [*upstream, *(a.copy() for a in inputs.values())]
        exact = {i: np.zeros(a.shape) for i, a in enumerate(values)}
        try:
            run = FollowedRun(self.backward, values, exact)
        except ValueError:
            return {}
        moved = (DEVIATIONS * np.sqrt(made.variance) for made in run.outputs)
        return dict(zip(inputs, moved, strict=True))

    def _followed(self, inputs: Arrays) -> FollowedRun | None:
        values = [a.copy() for a in inputs.values()]
        variances = {i: np.zeros(a.shape) for i, a in enumerate(values)}
        try:
            return FollowedRun(self.forward, values, variances)
        except ValueError:
            return None

    def _derived_bounds(self, inputs: Arrays) -> Arrays:
        """By following forward through its steps; {} where that cannot be done."""
        run = self._followed(inputs)
        if run is None:
            return {}
        ones = np.ones(run.outputs[0].value.shape)
        found = run.back([exactly(ones if self.upstream is None else self.upstream * ones)])
        return {name: found[i].bound for i, name in enumerate(inputs) if i in found}

    def _in_long_double(self, inputs: Arrays) -> Arrays:
        """How far gradient and derivative differ there; {} where either cannot be had."""
        if np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps:
            return {}
        longer = {name: a.astype(np.longdouble) for name, a in inputs.items()}
        exact = self.derivative(longer, np.clongdouble)
        try:
            given = self.gradients(longer)
        except (TypeError, ValueError):
            return {}
        if exact is None or any(g.dtype != np.longdouble for g in given):
            return {}
        return {n: np.abs(g - exact[n]) for n, g in zip(inputs, given, strict=True)}
