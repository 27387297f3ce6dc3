"""A multilayer perceptron on scikit-learn's digits: the whole program, in plain torch.

    python examples/plain/mlp.py

By hand, line by line: manual/models/mlp.py.
"""

from collections.abc import Iterable

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split


class Net(nn.Module):
    """Two hidden layers, ReLU and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[m, 64] -> [m, 10]"""
        x = F.dropout(F.relu(self.fc1(x)), 0.2, self.training)
        x = F.dropout(F.relu(self.fc2(x)), 0.2, self.training)
        return self.fc3(x)


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
    x = torch.tensor(pixels, dtype=torch.float32)
    data = TensorDataset((x - x.mean()) / x.std(), torch.tensor(digits))
    trained_on, held_back = random_split(data, [0.8, 0.2])
    net = Net()
    train(net, DataLoader(trained_on, batch_size=64, shuffle=True), 10, lr=0.05, weight_decay=5e-4)
    torch.save(net.state_dict(), "mlp.pt")
    again = Net()
    again.load_state_dict(torch.load("mlp.pt"))
    x, y = held_back[:]
    print(f"accuracy on {len(y)} samples held back: {accuracy(again, x, y):.1%}")


if __name__ == "__main__":
    main()
