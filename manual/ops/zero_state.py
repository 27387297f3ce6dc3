"""The state that a recurrent network starts from when it has read nothing: zeros.

Source: torch.nn.LSTM, which takes zeros where no state is given.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def zero_state(input: np.ndarray, *, width: int) -> np.ndarray:  # noqa: A002  (torch's name)
    """state = 0                          # [m, ...] -> [m, width], one for each sample of input"""
    return np.zeros_like(input, shape=(input.shape[0], width))


def zero_state_backward(dstate: np.ndarray, *, width: int) -> tuple[()]:
    """Nothing: zeros depend on no input."""
    return ()
