"""Initial weights in torch: nn.init, in place, under torch's names."""

from torch import Tensor, nn


def zeros(W: Tensor) -> Tensor:
    """W = 0"""
    return nn.init.zeros_(W)


def normal(W: Tensor, scale: float = 0.01) -> Tensor:
    """W ~ N(0, scale^2)"""
    return nn.init.normal_(W, std=scale)


def xavier_normal(W: Tensor) -> Tensor:
    """W ~ N(0, 2 / (n_in + n_out))"""
    return nn.init.xavier_normal_(W)


def xavier_course(W: Tensor) -> Tensor:
    """W ~ N(0, 1 / n_in): the course's Xavier is torch's Kaiming for a linear layer."""
    return nn.init.kaiming_normal_(W, nonlinearity="linear")


def kaiming_normal(W: Tensor) -> Tensor:
    """W ~ N(0, 2 / n_in)"""
    return nn.init.kaiming_normal_(W, nonlinearity="relu")
