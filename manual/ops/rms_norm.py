"""RMS norm: a layer norm that takes no mean away: each sample is divided by its root mean square.

Source: Zhang and Sennrich 2019; torch.nn.RMSNorm.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def rms_norm(
    input: np.ndarray,  # noqa: A002  (torch's name)
    weight: np.ndarray,
    *,
    eps: float,
) -> np.ndarray:
    """out = input / sqrt(mean(input^2) + eps) * weight         # [..., n], [n] -> [..., n]

    The mean is over the last axes, as many as weight has. torch's default for eps is the gap after
    1 of the input's own precision (torch.finfo(dtype).eps); here it is always said.

    Raises:
        ValueError: the last axes of input are not shaped like weight.
    """
    xhat, _ = _scaled(input, weight, eps)
    return xhat * weight


def rms_norm_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    weight: np.ndarray,
    *,
    eps: float,
) -> tuple[np.ndarray, np.ndarray]:
    """dweight = sum dout xhat,  xhat = input / rms             # over the other axes

    With dxhat = dout weight:  dinput = (dxhat - xhat mean(dxhat xhat)) / rms
    """
    xhat, rms = _scaled(input, weight, eps)
    others = tuple(range(input.ndim - weight.ndim))
    dxhat = dout * weight
    through_rms = xhat * (dxhat * xhat).mean(axis=_axes(weight), keepdims=True)
    return (dxhat - through_rms) / rms, (dout * xhat).sum(axis=others)


def _scaled(x: np.ndarray, weight: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """xhat and rms."""
    leading = x.shape[: max(x.ndim - weight.ndim, 0)]
    require_shape("rms_norm", "input", x, (*leading, *weight.shape))
    rms = np.sqrt((x * x).mean(axis=_axes(weight), keepdims=True) + eps)
    return x / rms, rms


def _axes(weight: np.ndarray) -> tuple[int, ...]:
    return tuple(range(-weight.ndim, 0))
