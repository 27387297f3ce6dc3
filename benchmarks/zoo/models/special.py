"""What a recorder may trip over: checkpointing, autocast, own Functions, hooks, in place."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.zoo.models.gpt import GPT


class CheckpointedGPT(GPT):
    """Each block's activations are computed again in the backward pass."""

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return self.head(self.ln(x))


class Autocast(nn.Module):
    """Runs a model of float32 with products in a half."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.half = torch.bfloat16

    def forward(self, *inputs: Tensor) -> Tensor:
        with torch.autocast("cpu", self.half):
            return self.model(*inputs)


class Swish(torch.autograd.Function):
    """x sigmoid(x); saves x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return grad * (s + x * s * (1 - s))


class Normalize(torch.autograd.Function):
    """Rows to mean 0 and variance 1, the backward written out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        root = (centred.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        ctx.save_for_backward(centred * root, root)
        return centred * root

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        y, root = ctx.saved_tensors
        mean, along = grad.mean(-1, keepdim=True), (grad * y).mean(-1, keepdim=True)
        return root * (grad - mean - y * along), None


class Matmul(torch.autograd.Function):
    """x W^T + b with its three gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return grad @ weight, grad.T @ x, grad.sum(0)


class OwnFunctions(nn.Module):
    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.fc1 = FunctionLinear(features, width)
        self.norm = FunctionNorm(width)
        self.swish = FunctionSwish()
        self.fc2 = FunctionLinear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.swish(self.norm(self.fc1(x))))


class FunctionLinear(nn.Linear):
    function: type[torch.autograd.Function] = Matmul

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x, self.weight, self.bias)


class FunctionNorm(nn.LayerNorm):
    function: type[torch.autograd.Function] = Normalize

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x, self.eps) * self.weight + self.bias


class FunctionSwish(nn.Module):
    function: type[torch.autograd.Function] = Swish

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x)


class Hooked(nn.Module):
    """A forward hook that changes an output, gradient hooks on a tensor and on a module."""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)
        self.act = nn.SiLU()
        self.fc2 = nn.Linear(width, width)
        self.fc3 = nn.Linear(width, classes)
        self.act.register_forward_hook(lambda module, inputs, output: output * 1.25)
        self.fc2.register_full_backward_hook(lambda module, into, out: (into[0] * 0.5,))
        self.fc3.register_forward_pre_hook(lambda module, inputs: (inputs[0].clamp(max=2.0),))
        self.fc1.weight.register_hook(lambda grad: grad * 0.75)

    def limit_gradient(self, grad: Tensor) -> Tensor:
        return grad.clamp(-0.02, 0.02)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.norm(self.fc1(x)))
        if h.requires_grad:
            h.register_hook(self.limit_gradient)
        return self.fc3(h + self.fc2(h))


class InPlace(nn.Module):
    """Writes into activations wherever autograd lets it."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(width, width)
        self.act = nn.LeakyReLU(0.2, inplace=True)
        self.head = nn.Linear(width, classes)
        self.register_buffer("seen", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :, 0] = 0.5
        x[:, 1:].mul_(1.5)
        y = self.relu(self.bn(self.conv(x))).mean((2, 3))
        y += x.mean()
        self.seen.mul_(0.9).add_(y.detach().mean(0), alpha=0.1)
        z = self.act(self.fc(y)) + y
        z.masked_fill_(z > 1.5, 1.5).sub_(0.1)
        return self.head(F.dropout(z, 0.2, self.training, inplace=True))


class ActorCritic(nn.Module):
    """Two heads on one trunk: a policy and a value."""

    def __init__(self, features: int, width: int, actions: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(features, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width)
        )
        self.act = nn.Tanh()
        self.policy = nn.Linear(width, actions)
        self.value = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.act(self.trunk(x))
        return self.policy(h), self.value(h).squeeze(-1)
