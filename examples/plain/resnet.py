"""A residual network of convolutions on scikit-learn's digits: the whole program, in plain torch.

    python examples/plain/resnet.py

By hand, line by line: manual/models/resnet.py.
"""

from collections.abc import Iterable

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split


class Block(nn.Module):
    """Two convolutions with batch norm, and a shortcut around them. Where the number of channels
    changes, the image is halved, and the shortcut has a convolution of its own."""

    def __init__(self, read: int, made: int) -> None:
        super().__init__()
        stride = 1 if read == made else 2
        self.conv1 = nn.Conv2d(read, made, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(made)
        self.conv2 = nn.Conv2d(made, made, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(made)
        self.downsample = nn.Sequential()
        if read != made:
            conv = nn.Conv2d(read, made, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(made))

    def forward(self, h: Tensor) -> Tensor:
        """[m, c, h, w] -> [m, c, h, w], or [m, c', h / 2, w / 2]"""
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(h)))))
        return F.relu(self.downsample(h) + branch)


class Net(nn.Module):
    """A convolution, two blocks, the mean of each channel, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(8, 8), Block(8, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[m, 1, 8, 8] -> [m, 10]"""
        h = self.blocks(F.relu(self.bn1(self.conv1(x))))
        h = torch.flatten(F.adaptive_avg_pool2d(h, 1), 1)
        return self.head(F.dropout(h, 0.2, self.training))


def train(
    net: nn.Module, batches: Iterable[list[Tensor]], epochs: int, lr: float, weight_decay: float
) -> None:
    """Momentum on mini-batches; weights decay, biases and norms do not."""
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9)
    net.train()  # dropout is on, and batch norm takes the statistics of the batch
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of samples that get their own class."""
    net.eval()
    return float((net(x).argmax(dim=1) == y).float().mean())


def main() -> None:
    """Train, save, load, and score on samples that were not trained on."""
    torch.manual_seed(0)
    pixels, digits = load_digits(return_X_y=True)
    x = torch.tensor(pixels.reshape(-1, 1, 8, 8), dtype=torch.float32)
    data = TensorDataset((x - x.mean()) / x.std(), torch.tensor(digits))
    trained_on, held_back = random_split(data, [0.8, 0.2])
    net = Net()
    train(net, DataLoader(trained_on, batch_size=64, shuffle=True), 10, lr=0.05, weight_decay=5e-4)
    torch.save(net.state_dict(), "resnet.pt")
    again = Net()
    again.load_state_dict(torch.load("resnet.pt"))
    x, y = held_back[:]
    print(f"accuracy on {len(y)} samples held back: {accuracy(again, x, y):.1%}")


if __name__ == "__main__":
    main()
