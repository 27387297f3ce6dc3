"""The length of all gradients together, as if they were one long vector.

Source: Pascanu et al. 2013; course 5 week 1, "exploding gradients"; torch.nn.utils.get_total_norm.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def get_total_norm(*tensors: np.ndarray) -> np.ndarray:
    """total_norm = sqrt(sum of the squares of all numbers of all tensors)     # any shapes -> []"""
    square = tensors[0].reshape(-1) @ tensors[0].reshape(-1)
    for x in tensors[1:]:
        square = square + x.reshape(-1) @ x.reshape(-1)
    return np.sqrt(square)


def get_total_norm_backward(
    dtotal_norm: np.ndarray, *tensors: np.ndarray
) -> tuple[np.ndarray, ...]:
    """dtensor = dtotal_norm tensor / total_norm                # one for each tensor"""
    total_norm = get_total_norm(*tensors)
    return tuple(x * (dtotal_norm / total_norm) for x in tensors)
