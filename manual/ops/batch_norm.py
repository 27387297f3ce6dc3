"""Batch norm: each channel gets mean 0 and deviation 1 over the batch, then a weight and a bias of
its own. Evaluation takes running averages of the statistics instead, so that a sample's output does
not depend on what else is in its batch.

Source: Ioffe and Szegedy 2015; course 2 week 3, "batch normalization"; torch.nn.BatchNorm1d and 2d.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape

Three = tuple[np.ndarray, np.ndarray, np.ndarray]


@operation
def batch_norm(
    input: np.ndarray,  # noqa: A002  (torch's name)
    running_mean: np.ndarray,
    running_var: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Three:
    """out = (input - mean) / sqrt(var + eps) * weight + bias   # [m, c, ...], four times [c]

    Axis 1 holds the channels. In training the mean and the variance are the batch's, over all other
    axes, and the running ones move towards them; in evaluation they are the running ones:

    updated_mean = (1 - momentum) running_mean + momentum mean
    updated_var  = (1 - momentum) running_var  + momentum var n / (n - 1)

    var = sum (input - mean)^2 / n divides the batch; the running variance takes the unbiased one.
    momentum is the share of the new: the course's beta is 1 - momentum.

    Returns out and the running statistics after it.

    Raises:
        ValueError: a channel of a training batch has one number only; a parameter is not [c].
    """
    for name, value in (("running_mean", running_mean), ("running_var", running_var),
                        ("weight", weight), ("bias", bias)):  # fmt: skip
        require_shape("batch_norm", name, value, input.shape[1:2])
    updated_mean, updated_var = running_mean.copy(), running_var.copy()
    if training:
        n = _numbers_of_a_channel(input)
        centred, mean, var = _by_batch(input)
        updated_mean = (1 - momentum) * running_mean + momentum * mean
        updated_var = (1 - momentum) * running_var + momentum * (var * (n / (n - 1)))
    else:
        centred, var = input - _per_channel(running_mean, input), running_var
    centred = centred * _per_channel(weight / np.sqrt(var + eps), input)
    return centred + _per_channel(bias, input), updated_mean, updated_var


def batch_norm_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    running_mean: np.ndarray,
    running_var: np.ndarray,
    weight: np.ndarray,
    *,
    training: bool,
    eps: float = 1e-5,
) -> Three:
    """dbias = sum dout;  dweight = sum dout xhat;  xhat = (input - mean) / std     # over n numbers

    dinput = weight / std * (dout - dbias / n - xhat dweight / n)

    The second term comes through the mean, the third through the variance. In evaluation neither
    depends on the input: dinput = weight / std * dout.
    """
    if training:
        centred, _, var = _by_batch(input)
    else:
        centred, var = input - _per_channel(running_mean, input), running_var
    std = np.sqrt(var + eps)
    dbias = _sum(dout)
    dweight = _sum(dout, centred) / std
    scale = _per_channel(weight / std, input)
    if not training:
        return dout * scale, dweight, dbias
    n = _numbers_of_a_channel(input)
    dinput = centred  # from the last term to the first, in place: new memory costs more than sums
    dinput *= _per_channel(-dweight / std / n, input)
    dinput += dout
    dinput -= _per_channel(dbias / n, input)
    dinput *= scale
    return dinput, dweight, dbias


def _by_batch(x: np.ndarray) -> Three:
    """x - mean, and each channel's mean and variance              # [m, c, ...], [c], [c]"""
    n = _numbers_of_a_channel(x)
    mean = _sum(x) / n
    centred = x - _per_channel(mean, x)
    return centred, mean, _sum(centred, centred) / n


def _sum(*factors: np.ndarray) -> np.ndarray:
    """Each channel's sum of their products, without an array of the products.

    # any number of [m, c, ...] -> [c]
    """
    rows = [factor.reshape(*factor.shape[:2], -1) for factor in factors]
    return np.einsum(",".join(["mcn"] * len(rows)) + "->c", *rows)


def _numbers_of_a_channel(x: np.ndarray) -> int:
    n: int = x.size // max(x.shape[1], 1)
    if n < 2:
        raise ValueError(
            f"batch_norm: input has shape {x.shape}, expected more than one number for each "
            "channel; in training there is no variance of one"
        )
    return n


def _per_channel(parameter: np.ndarray, x: np.ndarray) -> np.ndarray:
    """[c] -> [c, 1, ...], to be multiplied with [m, c, ...]"""
    return parameter.reshape(-1, *(1,) * (x.ndim - 2))
