"""Group norm: each group of channels of each sample gets mean 0 and deviation 1, then each channel
a weight and a bias of its own. One group is a layer norm of the image; as many groups as channels
are an instance norm.

Source: Wu and He 2018; torch.nn.GroupNorm.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape
from torch_parity.manual.standardize import standardized, standardized_backward


@operation
def group_norm(
    input: np.ndarray,  # noqa: A002  (torch's name)
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    num_groups: int,
    eps: float = 1e-5,
) -> np.ndarray:
    """out = (input - mean) / sqrt(var + eps) * weight + bias   # [m, c, ...], [c], [c]

    The mean and the variance are those of a sample's group: c / num_groups channels that lie next
    to each other, and all their places.

    Raises:
        ValueError: num_groups does not divide c, or weight or bias is not [c].
    """
    xhat, _ = standardized(_grouped(input, num_groups), (2,), eps)
    w, b = (_per_channel(name, p, input) for name, p in (("weight", weight), ("bias", bias)))
    return xhat.reshape(input.shape) * w + b


def group_norm_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    weight: np.ndarray,
    *,
    num_groups: int,
    eps: float = 1e-5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dbias = sum dout;  dweight = sum dout xhat               # over all axes but the channels

    With dxhat = dout weight:  dinput = (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) / std
    """
    xhat, std = standardized(_grouped(input, num_groups), (2,), eps)
    dxhat = _grouped(dout * _per_channel("weight", weight, input), num_groups)
    dinput = standardized_backward(dxhat, xhat, std, (2,)).reshape(input.shape)
    others = (0, *range(2, input.ndim))
    dweight = (dout * xhat.reshape(input.shape)).sum(axis=others)
    return dinput, dweight, dout.sum(axis=others)


def _grouped(x: np.ndarray, num_groups: int) -> np.ndarray:
    """[m, c, ...] -> [m, num_groups, numbers of a group]"""
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(
            f"group_norm: input has shape {x.shape}, expected (m, c, ...) with a c that "
            f"num_groups={num_groups} divides"
        )
    return x.reshape(x.shape[0], num_groups, -1)


def _per_channel(name: str, parameter: np.ndarray, x: np.ndarray) -> np.ndarray:
    """[c] -> [c, 1, ...], to be multiplied with [m, c, ...]"""
    require_shape("group_norm", name, parameter, (x.shape[1],))
    return parameter.reshape(-1, *(1,) * (x.ndim - 2))
