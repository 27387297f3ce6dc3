"""A GPT of characters that learns to add: the whole program, in plain torch.

    python examples/plain/gpt.py

By hand, line by line: manual/models/gpt.py.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

ALPHABET = "\n+0123456789="
TOKENS, WIDTH, HEADS, BLOCKS = 16, 64, 4, 2


class Block(nn.Module):
    """Attention to earlier positions, then a small network; each adds to what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.proj = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.ln_2 = nn.LayerNorm(WIDTH)
        self.fc, self.out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, h: Tensor) -> Tensor:
        """[m, t, c] -> [m, t, c]"""
        x = self.ln_1(h)
        q, k, v = (
            f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + F.dropout(self.proj(found.transpose(1, 2).flatten(2)), 0.2, self.training)
        return h + F.dropout(self.out(F.gelu(self.fc(self.ln_2(h)))), 0.2, self.training)


class Net(nn.Module):
    """Each position guesses the next character from those up to it."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(len(ALPHABET), WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.ln_f, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(ALPHABET))

    def forward(self, x: Tensor) -> Tensor:
        """[m, t] -> [m, characters, t], as cross_entropy reads scores"""
        h = self.wte(x) + self.wpe(torch.arange(x.shape[1]))
        return self.head(self.ln_f(self.blocks(F.dropout(h, 0.2, self.training)))).transpose(1, 2)


def train(
    net: nn.Module, batches: Iterable[list[Tensor]], epochs: int, lr: float, weight_decay: float
) -> None:
    """Momentum on mini-batches; weights decay, biases and norms do not."""
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
    pairs = torch.randint(0, 50, (600, 2)).tolist()
    text = "".join(f"{a}+{b}={a + b}\n" for a, b in pairs)
    symbols = torch.tensor([ALPHABET.index(c) for c in text])
    n = (len(symbols) - 1) // TOKENS * TOKENS
    data = TensorDataset(symbols[:n].view(-1, TOKENS), symbols[1 : n + 1].view(-1, TOKENS))
    trained_on, held_back = random_split(data, [0.8, 0.2])
    net = Net()
    train(net, DataLoader(trained_on, batch_size=32, shuffle=True), 8, lr=0.1, weight_decay=1e-4)
    torch.save(net.state_dict(), "gpt.pt")
    again = Net()
    again.load_state_dict(torch.load("gpt.pt"))
    x, y = held_back[:]
    print(f"accuracy on {len(y)} pieces of text held back: {accuracy(again, x, y):.1%}")


if __name__ == "__main__":
    main()
