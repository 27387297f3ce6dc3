"""That float64 is judged by numbers with more digits: against mpmath and exact fractions."""

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from tests.bounded_calls import A
from torch_parity.compare.bounds.tensors import BoundedTensor, replay_call

mpmath.mp.dps = 40
FUNCTIONS = {
    A.exp.default: mpmath.exp,
    A.log.default: mpmath.log,
    A.tanh.default: mpmath.tanh,
    A.sigmoid.default: lambda x: 1 / (1 + mpmath.exp(-x)),
    A.sqrt.default: mpmath.sqrt,
    A.rsqrt.default: lambda x: 1 / mpmath.sqrt(x),
    A.sin.default: mpmath.sin,
    A.atan.default: mpmath.atan,
    A.silu.default: lambda x: x / (1 + mpmath.exp(-x)),
    A.log1p.default: mpmath.log1p,
}
DOUBLE = float(np.finfo(np.float64).eps)
MORE_DIGITS = np.finfo(np.longdouble).eps < DOUBLE


def fraction(x: Any) -> Fraction:
    """A long double, exactly."""
    head = float(x)
    return Fraction(head) + Fraction(float(x - np.longdouble(head)))


@pytest.mark.skipif(not MORE_DIGITS, reason="long double is float64 here")
@pytest.mark.parametrize("overload", FUNCTIONS, ids=str)
def test_functions(overload: Any) -> None:
    for seed in range(3):
        x = torch.rand(20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
        (found,) = replay_call(overload, (x,), {})
        assert isinstance(found, BoundedTensor)
        for at, value, error in zip(
            x.tolist(), found.bounded.value, found.bounded.error, strict=True
        ):
            exact = FUNCTIONS[overload](mpmath.mpf(at))
            part = fraction(value)
            off = abs(mpmath.mpf(part.numerator) / part.denominator - exact)
            assert off < DOUBLE / 100 * abs(exact), f"seed {seed}, at {at}"
            assert off < error, f"seed {seed}, at {at}"


@pytest.mark.skipif(not MORE_DIGITS, reason="long double is float64 here")
def test_a_product_and_a_convolution() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((3, 9), (9, 2)))
    (product,) = replay_call(A.mm.default, (a, b), {})
    image, kernel = a.reshape(1, 3, 9), b.T.reshape(2, 3, 3)
    options = (None, [1], [0], [1], False, [0], 1)
    (convolved,) = replay_call(A.convolution.default, (image, kernel, *options), {})
    assert isinstance(product, BoundedTensor)
    assert isinstance(convolved, BoundedTensor)
    for i in range(3):
        for j in range(2):
            exact = sum(Fraction(a[i, k].item()) * Fraction(b[k, j].item()) for k in range(9))
            off = abs(fraction(product.bounded.value[i, j]) - exact)
            assert off < Fraction(DOUBLE) / 100, (i, j)
    for o in range(2):
        for t in range(7):
            exact = sum(
                Fraction(image[0, c, t + k].item()) * Fraction(kernel[o, c, k].item())
                for c in range(3)
                for k in range(3)
            )
            assert abs(fraction(convolved.bounded.value[0, o, t]) - exact) < Fraction(DOUBLE) / 100
