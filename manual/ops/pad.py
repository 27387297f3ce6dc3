"""A frame around the last axes, filled with one number.

Source: course 4 week 1, "padding"; torch.nn.functional.pad with mode="constant".
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.windows import Frame


@operation
def pad(
    input: np.ndarray,  # noqa: A002  (torch's name)
    *,
    pad: Frame,
    value: float = 0.0,
) -> np.ndarray:
    """out = input between frames of value                      # [..., h, w] -> [..., H, W]

    pad begins with the last axis, as in torch: (left, right, top, bottom, ...).

    Raises:
        ValueError: pad is not one pair for each of some last axes, or a number is below 0.
    """
    return np.pad(input, _edges(input, pad), constant_values=value)


def pad_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    *,
    pad: Frame,
) -> np.ndarray:
    """dinput = dout without its frame: value is a number, so its share goes nowhere."""
    inside = (slice(b, b + n) for (b, _), n in zip(_edges(input, pad), input.shape, strict=True))
    return dout[tuple(inside)].copy()


def _edges(x: np.ndarray, pad: Frame) -> list[tuple[int, int]]:
    """(before, after) of each axis, the first axis first."""
    if len(pad) % 2 or len(pad) > 2 * x.ndim or min(pad, default=0) < 0:
        raise ValueError(
            f"pad: pad is {pad}, expected (before, after) for each of the last axes of {x.shape}, "
            "the last axis first, all 0 or more"
        )
    last = list(zip(pad[::2], pad[1::2], strict=True))
    return [(0, 0)] * (x.ndim - len(last)) + last[::-1]
