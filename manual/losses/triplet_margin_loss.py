"""Triplet loss: an anchor must lie nearer to a sample of its own kind than to one of another.

Source: course 4 week 4, "triplet loss" (which has squared distances); Schroff et al. 2015,
"FaceNet"; Balntas et al. 2016 (swap); torch.nn.TripletMarginLoss, with p = 2.
"""

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def triplet_margin_loss(
    anchor: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
    *,
    margin: float = 1.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> np.ndarray:
    """loss = mean_i max(0, |a_i - p_i + eps| - |a_i - n_i + eps| + margin), |.| = sqrt(sum of .^2)

    # [m, d], [m, d], [m, d] -> []

    swap takes |p_i - n_i + eps| for the second distance where it is the smaller one.

    Raises:
        ValueError: the three have not the same shape, margin is not positive, or the reduction is
            unknown.
    """
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: margin is {margin}, expected more than 0")
    require_shape("triplet_margin_loss", "positive", positive, anchor.shape)
    require_shape("triplet_margin_loss", "negative", negative, anchor.shape)
    near, far = _length(anchor - positive + eps), _length(anchor - negative + eps)
    if swap:
        other = _length(positive - negative + eps)
        far = np.where(far.real < other.real, far, other)
    left = near - far + margin
    return reduce(np.where(left.real > 0, left, 0), reduction)


def triplet_margin_loss_backward(
    anchor: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
    *,
    margin: float = 1.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A distance |u| has the gradient u / |u|, so while the loss is above 0

    danchor = to_p - to_n;  dpositive = -to_p;  dnegative = to_n, each over m, with
    to_p = (a - p + eps) / |a - p + eps| and to_n = (a - n + eps) / |a - n + eps|

    # [m, d], [m, d], [m, d] -> [m, d], [m, d], [m, d]

    Where swap takes |p - n + eps|, positive has the second share in place of anchor; where the two
    are equal each has half of it. At exactly 0 torch lets the gradient through, and so does this.
    """
    apart = anchor - positive + eps, anchor - negative + eps, positive - negative + eps
    near, far, other = (_length(u) for u in apart)
    of_anchor = np.ones_like(far)
    if swap:
        equal = np.where(far > other, 0 * of_anchor, of_anchor / 2)
        of_anchor = np.where(far < other, of_anchor, equal)
        far = np.where(far < other, far, other)
    active = np.where(near - far + margin >= 0, np.ones_like(near), 0)
    share = scale(reduction, near.shape) * active
    to_p = apart[0] * (share / near)[:, None]
    to_n = apart[1] * (share * of_anchor / far)[:, None]
    if not swap:
        return to_p - to_n, -to_p, to_n
    from_p = apart[2] * (share * (1 - of_anchor) / far)[:, None]
    return to_p - to_n, -to_p - from_p, to_n + from_p


def _length(u: np.ndarray) -> np.ndarray:
    """[m, d] -> [m]"""
    return np.sqrt((u * u).sum(axis=1))
