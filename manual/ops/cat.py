"""Tensors one after the other along an axis: the state beside the input, the heads side by side.

Source: torch.cat.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def cat(*tensors: np.ndarray, dim: int = 0) -> np.ndarray:
    """out = the tensors, joined along dim      # [n1, ...], [n2, ...], ... -> [n1 + n2 ..., ...]"""
    return np.concatenate(tensors, axis=dim)


def cat_backward(dout: np.ndarray, *tensors: np.ndarray, dim: int = 0) -> tuple[np.ndarray, ...]:
    """dtensor = the part of dout that has its place            # one for each tensor"""
    ends = np.cumsum([x.shape[dim] for x in tensors])[:-1]
    return tuple(part.copy() for part in np.split(dout, ends, axis=dim))
