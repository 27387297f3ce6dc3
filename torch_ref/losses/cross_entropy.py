"""Softmax loss in torch: takes raw z and class indices, applies log-softmax itself."""

from functools import partial

from torch import Tensor, nn

from torch_parity.torch_ref.losses.batchmean import reduced


def cross_entropy(
    reduction: str = "mean",
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> nn.Module:
    """loss = mean_i(log sum_k e^z_ik - z_i,y_i)                # [m, n], [m] of int64 -> []

    The mean is divided by the weights of the samples that are not ignored, not by their number.
    """
    loss = partial(
        nn.CrossEntropyLoss,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )
    return reduced(loss, reduction)
