"""Formulas as torch's kernels compute them, where these are less accurate than the functions that
the formula is made of: second formulas of the register's rows."""

from typing import Any, Literal

import numpy as np

from torch_parity.compare.bounds.bounded import Bounded

# In float32 torch's gelu has an erf of its own, by a polynomial that is good to 1.5e-7 of 1
# (Abramowitz and Stegun 7.1.26), which is 2.5 u; computing the polynomial rounds 1.5 u more.
ERF_UNITS = 4.0
ROOT_HALF = float(np.sqrt(0.5))
Approximate = Literal["none", "tanh"]


def gelu(z: Any, *, approximate: Approximate = "none") -> Any:
    """a = z Phi(z), with the Phi of torch's kernel"""
    from torch_parity import manual

    return manual.gelu(z, approximate=approximate) if approximate == "tanh" else z * _phi(z)


def gelu_backward(da: Any, z: Any, *, approximate: Approximate = "none") -> Any:
    """dz = da (Phi(z) + z phi(z)), with the Phi of torch's kernel"""
    from torch_parity import manual

    if approximate == "tanh":
        return manual.gelu_backward(da, z, approximate=approximate)
    density = np.exp(-0.5 * z * z) * (ROOT_HALF / float(np.sqrt(np.pi)))
    return da * (_phi(z) + z * density)


def _phi(z: Any) -> Any:
    """(1 + erf(z / sqrt 2)) / 2"""
    from scipy.special import erf

    found = erf(z * ROOT_HALF)
    if isinstance(found, Bounded) and found.inner_type == np.float32:
        lost = ERF_UNITS * np.finfo(np.float32).eps / 2
        found = found.like(found.value, found.error + lost)
    return 0.5 * (1 + found)
