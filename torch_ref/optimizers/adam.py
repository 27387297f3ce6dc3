"""Adam in torch: exp_avg is the course's v, exp_avg_sq its s."""

from typing import Any

import torch


def adam(
    groups: list[dict[str, Any]],
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> torch.optim.Adam:
    """W' = W - lr * v_corrected / (sqrt(s_corrected) + eps); weight_decay goes through dW."""
    return torch.optim.Adam(groups, lr=lr, betas=(beta1, beta2), eps=eps)
