"""An LSTM that reads sums character by character and learns to go on: the whole program, in plain
torch.

    python examples/plain/char_lstm.py

By hand, line by line: manual/models/char_lstm.py.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

ALPHABET = "\n+0123456789="
LENGTH = 16


class Net(nn.Module):
    """Each position guesses the next character from those up to it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(ALPHABET), 16)
        self.lstm = nn.LSTM(16, 64, batch_first=True)
        self.head = nn.Linear(64, len(ALPHABET))

    def forward(self, x: Tensor) -> Tensor:
        """[m, t] -> [m, characters, t], as cross_entropy reads scores"""
        h, _ = self.lstm(self.embedding(x))
        return self.head(F.dropout(h, 0.2, self.training)).transpose(1, 2)


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
    """The share of characters that are guessed."""
    net.eval()
    return float((net(x).argmax(dim=1) == y).float().mean())


def main() -> None:
    """Train, save, load, and score on text that was not trained on."""
    torch.manual_seed(0)
    pairs = torch.randint(0, 50, (2000, 2)).tolist()
    text = "".join(f"{a}+{b}={a + b}\n" for a, b in pairs)
    symbols = torch.tensor([ALPHABET.index(c) for c in text])
    n = (len(symbols) - 1) // LENGTH * LENGTH
    data = TensorDataset(symbols[:n].view(-1, LENGTH), symbols[1 : n + 1].view(-1, LENGTH))
    trained_on, held_back = random_split(data, [0.8, 0.2])
    net = Net()
    train(net, DataLoader(trained_on, batch_size=64, shuffle=True), 10, lr=0.2, weight_decay=0.0)
    torch.save(net.state_dict(), "char_lstm.pt")
    again = Net()
    again.load_state_dict(torch.load("char_lstm.pt"))
    x, y = held_back[:]
    print(f"accuracy on {len(y)} pieces of text held back: {accuracy(again, x, y):.1%}")


if __name__ == "__main__":
    main()
