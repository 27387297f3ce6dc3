"""Arrays to tensors and back, without changing a bit: torch and NumPy do not share a bfloat16."""

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.bounds.precision import BFLOAT16


def to_torch(array: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """A copy as a tensor of the same precision."""
    if array.dtype == BFLOAT16:
        return torch.tensor(array.view(np.int16)).view(torch.bfloat16).to(device)
    return torch.tensor(array, device=device)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """As an array of the same precision, which may share the tensor's memory."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(BFLOAT16)
    array: np.ndarray = tensor.numpy()
    return array
