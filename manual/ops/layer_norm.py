"""Layer norm: each sample's features get mean 0 and deviation 1, then a weight and a bias of their
own. It depends on no other sample, so training and evaluation are the same.

Source: Ba, Kiros and Hinton 2016; torch.nn.LayerNorm.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape
from torch_parity.manual.standardize import standardized, standardized_backward


@operation
def layer_norm(
    input: np.ndarray,  # noqa: A002  (torch's name)
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    eps: float = 1e-5,
) -> np.ndarray:
    """out = (input - mean) / sqrt(var + eps) * weight + bias   # [..., n], [n], [n] -> [..., n]

    The mean and the variance are over the last axes, as many as weight has (torch's
    normalized_shape).

    Raises:
        ValueError: the last axes of input, or bias, are not shaped like weight.
    """
    xhat, _ = standardized(input, _axes(input, weight), eps)
    require_shape("layer_norm", "bias", bias, weight.shape)
    return xhat * weight + bias


def layer_norm_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    weight: np.ndarray,
    *,
    eps: float = 1e-5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dbias = sum dout;  dweight = sum dout xhat               # over the other axes

    With dxhat = dout weight:  dinput = (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) / std
    """
    axes = _axes(input, weight)
    xhat, std = standardized(input, axes, eps)
    others = tuple(range(input.ndim - weight.ndim))
    dinput = standardized_backward(dout * weight, xhat, std, axes)
    return dinput, (dout * xhat).sum(axis=others), dout.sum(axis=others)


def _axes(x: np.ndarray, weight: np.ndarray) -> tuple[int, ...]:
    """The last axes, as many as weight has."""
    leading = x.shape[: max(x.ndim - weight.ndim, 0)]
    require_shape("layer_norm", "input", x, (*leading, *weight.shape))
    return tuple(range(-weight.ndim, 0))
