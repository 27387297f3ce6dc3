"""The loss, the penalty and the gradients when each rank has its own rows.

torch_ref/distributed/train.py puts these into DistributedDataParallel and FSDP2.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import GradBucket
from torch.distributed.tensor import DTensor
from torch.futures import Future

from torch_parity.torch_ref.distributed.job import Tensors
from torch_parity.torch_ref.losses.regularization import Penalty


class WeightedSum:
    """sum over ranks r of weight_r * t_r: the mean over all rows where weight_r is m_r / m.

    DistributedDataParallel takes `bucket` for its communication hook, FSDP2 the object itself for
    its reduce-scatter.
    """

    weight = 1.0

    def all_reduce(self, t: Tensor) -> Tensor:
        """The sum, on every rank."""
        total = t * self.weight
        dist.all_reduce(total)
        return total

    def bucket(self, _: object, bucket: GradBucket) -> Future[Tensor]:
        """The sum of a bucket of gradients, on every rank."""
        work = dist.all_reduce(bucket.buffer().mul_(self.weight), async_op=True)
        return cast(Future[Tensor], work.get_future().then(lambda done: done.value()[0]))

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The buffer in which FSDP2 gathers what is to be reduced."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self,
        output_tensor: Tensor,
        input_tensor: Tensor,
        group: dist.ProcessGroup,
        op: Any,
        async_op: bool = False,
    ) -> dist.Work | None:
        """The sum, a part of it on each rank."""
        parts = list(input_tensor.mul_(self.weight).chunk(group.size()))
        return cast(
            dist.Work | None, dist.reduce_scatter(output_tensor, parts, op, group, async_op)
        )


class LossOverRanks(nn.Module):
    """The loss of the whole batch in value, of this rank's rows in gradient: the gradients of the
    ranks are added up later, by the reduction."""

    def __init__(self, criterion: nn.Module, over_ranks: WeightedSum) -> None:
        super().__init__()
        self.criterion, self.over_ranks = criterion, over_ranks
        self.own = torch.zeros(())

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        """[m_r, n], [m_r, n] -> []"""
        own = self.criterion(output, y)
        self.own = own.detach().clone()
        return own - self.own + self.over_ranks.all_reduce(self.own)


@dataclass(frozen=True)
class PenaltyOfParts(Penalty):
    """The penalty of weights that FSDP2 has divided over the ranks (for DDP: whole weights)."""

    def value(self, weights: list[Tensor]) -> Tensor:
        """The penalty of the whole weights, on every rank."""
        return super().value([whole_tensor(W) for W in weights])

    def in_loss(self, weights: list[Tensor]) -> Tensor | None:
        """The penalty of this rank's part only, for its gradient."""
        return super().in_loss([W.to_local() if isinstance(W, DTensor) else W for W in weights])


class OwnGradients(ExitStack):
    """While open, keeps each parameter's gradient from this rank's rows, as it is before the
    all-reduce, under its name in `called`: by path of the parameter, such as z1.weight: dW1_own."""

    def __init__(self, net: nn.Module, called: Mapping[str, str]) -> None:
        super().__init__()
        self.net, self.called = net, called
        self.tensors: Tensors = {}

    def __enter__(self) -> Self:
        for path, module in self.net.named_modules():
            if any(True for _ in module.parameters(recurse=False)):
                hook = partial(self._watch, f"{path}." if path else "")
                self.enter_context(module.register_forward_hook(hook))
        return self

    def _watch(self, path: str, module: nn.Module, args: tuple[Tensor], out: Any) -> None:
        """Attach the hooks in the forward pass: only there FSDP2 has the whole parameter."""
        for name, parameter in module.named_parameters(recurse=False):
            hook = partial(self._keep, self.called[path + name])
            self.enter_context(parameter.register_hook(hook))  # type: ignore[no-untyped-call]

    def _keep(self, name: str, gradient: Tensor) -> None:
        """Keep the first gradient only: the penalty runs its own backward, after the all-reduce."""
        self.tensors.setdefault(name, gradient.detach().clone())


def whole_tensor(t: Tensor) -> Tensor:
    """The tensor in one piece. Each rank has a part of a DTensor, so all ranks must call this."""
    return t.full_tensor() if isinstance(t, DTensor) else t
