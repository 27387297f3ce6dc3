"""LSTM and GRU: torch's layers, torch's cells in a loop, and the gates written out."""

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """nn.LSTM or nn.GRU over (batch, time, features), the last output classified."""

    def __init__(self, rnn: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.rnn = rnn
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def pool(self, y: Tensor) -> Tensor:
        return y[:, -1]

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return self.head(self.norm(self.pool(y)))


class MeanClassifier(Classifier):
    """The mean over time: with two directions, the last output is the second one's first."""

    def pool(self, y: Tensor) -> Tensor:
        return y.mean(1)


class LanguageModel(nn.Module):
    """Embedding, a recurrent layer, and the next token at each place."""

    def __init__(self, vocabulary: int, rnn: nn.Module, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.rnn = rnn
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        y, _ = self.rnn(self.embed(ids))
        return self.head(y)


class LSTM(nn.Module):
    """One layer, the gates written out in torch's order: input, forget, candidate, output."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.x = nn.Linear(features, 4 * width)
        self.h = nn.Linear(width, 4 * width)
        self.width = width

    def gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        return (self.x(x) + self.h(h)).chunk(4, -1)

    def start(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], self.width)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h = c = self.start(x)
        outputs = []
        for t in range(x.shape[1]):
            i, f, g, o = self.gates(x[:, t], h)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs, 1), (h, c)


class GRU(nn.Module):
    """One layer, torch's way: reset, update, candidate; reset after the hidden product."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.x = nn.Linear(features, 3 * width)
        self.h = nn.Linear(width, 3 * width)
        self.width = width

    def start(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], self.width)

    def cell(self, x: Tensor, h: Tensor) -> Tensor:
        xr, xz, xn = self.x(x).chunk(3, -1)
        hr, hz, hn = self.h(h).chunk(3, -1)
        z = (xz + hz).sigmoid()
        n = (xn + (xr + hr).sigmoid() * hn).tanh()
        return (1 - z) * n + z * h

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.start(x)
        outputs = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            outputs.append(h)
        return torch.stack(outputs, 1), h


class LSTMCells(nn.Module):
    """nn.LSTMCell in a loop."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(features, width)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        outputs: list[Tensor] = []
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1), state


class GRUCells(nn.Module):
    """nn.GRUCell in a loop."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        outputs: list[Tensor] = []
        for step in x.unbind(1):
            outputs.append(self.cell(step, outputs[-1] if outputs else None))
        return torch.stack(outputs, 1), outputs[-1]


class Bidirectional(nn.Module):
    """Two one-way layers, the second on the reversed sequence."""

    def __init__(self, forth: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.forth, self.back = forth, back

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        y, z = self.forth(x)[0], self.back(x.flip(1))[0]
        return torch.cat([y, z.flip(1)], -1), None
