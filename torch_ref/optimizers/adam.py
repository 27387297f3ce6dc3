"""Adam in torch: exp_avg is the course's v, exp_avg_sq its s."""

from typing import Any

import torch
from torch import Tensor


def adam(
    groups: list[dict[str, Any]],
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> torch.optim.Adam:
    """W' = W - lr * v_corrected / (sqrt(s_corrected) + eps); weight_decay goes through dW."""
    return torch.optim.Adam(groups, lr=lr, betas=(beta1, beta2), eps=eps)


def slots(state: dict[str, Any], group: dict[str, Any]) -> dict[str, Tensor]:
    """t, v and s of one parameter."""
    return {"t": state["step"].long(), "v": state["exp_avg"], "s": state["exp_avg_sq"]}
