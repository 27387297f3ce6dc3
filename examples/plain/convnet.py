"""A small convolutional network on scikit-learn's digits: the whole program, in plain torch.

    python examples/plain/convnet.py

By hand, line by line: manual/models/convnet.py.
"""

from collections.abc import Iterable

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split


class Net(nn.Module):
    """Two convolutions, each with a pooling that halves the image, then two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3, padding=1)
        self.fc = nn.Linear(16 * 2 * 2, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[m, 1, 8, 8] -> [m, 10]"""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc(torch.flatten(x, 1)))
        return self.head(F.dropout(x, 0.2, self.training))


def train(
    net: nn.Module, batches: Iterable[list[Tensor]], epochs: int, lr: float, weight_decay: float
) -> None:
    """Momentum on mini-batches; weights decay, biases do not."""
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9)
    net.train()  # dropout is on
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
    torch.save(net.state_dict(), "convnet.pt")
    again = Net()
    again.load_state_dict(torch.load("convnet.pt"))
    x, y = held_back[:]
    print(f"accuracy on {len(y)} samples held back: {accuracy(again, x, y):.1%}")


if __name__ == "__main__":
    main()
