"""A loss summed over the outputs and averaged over the samples, as the course has it: torch knows
this reduction by the name "batchmean", but only for KLDivLoss."""

from collections.abc import Callable

from torch import Tensor, nn


class BatchMean(nn.Module):
    """loss = sum of all entries / m                            # [m, n], [m, n] -> []"""

    def __init__(self, total: nn.Module) -> None:
        super().__init__()
        self.total = total

    def forward(self, output: Tensor, *targets: Tensor) -> Tensor:
        """total sums."""
        loss: Tensor = self.total(output, *targets) / len(output)
        return loss


def reduced(loss: Callable[..., nn.Module], reduction: str) -> nn.Module:
    """The loss with any of torch's reductions, or with "batchmean"."""
    return (
        BatchMean(loss(reduction="sum")) if reduction == "batchmean" else loss(reduction=reduction)
    )
