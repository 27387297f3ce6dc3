"""Small modules whose forward is a given function."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

SEED = 3


class Applied(nn.Module):
    """forward is f(self, ...); fc is a linear layer of 5 inputs and 3 outputs, the same in all."""

    def __init__(self, f: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.fc, self.f = nn.Linear(5, 3), f
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        return self.f(self, *inputs, **keywords)


def returning(wrap: Callable[[Tensor], Any]) -> Applied:
    """A linear layer whose output is wrapped."""
    return Applied(lambda m, x: wrap(m.fc(x)))


def linear(*more: nn.Module) -> nn.Sequential:
    """The same numbers each time."""
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(5, 3), *more)


def x_of(*shape: int) -> Tensor:
    return torch.randn(*shape or (4, 5), generator=torch.Generator().manual_seed(SEED))


def squares(out: Tensor) -> Tensor:
    return out.float().square().mean() if out.dtype.itemsize == 2 else out.square().mean()
