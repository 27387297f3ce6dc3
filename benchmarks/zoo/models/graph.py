"""Graph convolution: messages gathered along edges, summed or averaged at their target."""

import torch
from torch import Tensor, nn


class Convolution(nn.Module):
    """Self loop plus the sum of the neighbours', each scaled by 1/sqrt(degree) at both ends."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.own = nn.Linear(features, width)
        self.other = nn.Linear(features, width, bias=False)

    def collect(self, messages: Tensor, target: Tensor, nodes: int) -> Tensor:
        return messages.new_zeros(nodes, messages.shape[1]).index_add(0, target, messages)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        source, target = edges
        degree = torch.bincount(target, minlength=x.shape[0]).to(x.dtype) + 1
        scale = degree[source].rsqrt() * degree[target].rsqrt()
        messages = self.other(x)[source] * scale[:, None]
        return self.own(x) + self.collect(messages, target, x.shape[0])


class MeanConvolution(nn.Module):
    """The mean and the greatest of the neighbours, by scatter."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * features, width)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        source, target = edges
        index = target[:, None].expand(-1, x.shape[1])
        zeros = torch.zeros_like(x)
        mean = zeros.scatter_reduce(0, index, x[source], "mean", include_self=False)
        greatest = zeros.scatter_reduce(0, index, x[source], "amax", include_self=False)
        return self.fc(torch.cat([x, mean, greatest], 1))


class GraphNetwork(nn.Module):
    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv1 = Convolution(features, width)
        self.norm = nn.LayerNorm(width)
        self.relu = nn.ReLU()
        self.conv2 = MeanConvolution(width, width)
        self.act = nn.Tanh()
        self.conv3 = Convolution(width, classes)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv1(x, edges)))
        return self.conv3(self.act(self.conv2(x, edges)), edges)
