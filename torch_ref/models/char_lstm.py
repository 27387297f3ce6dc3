"""A model of text, character by character, in torch.

The training step is step.py beside this file.
"""

from torch import Tensor, nn

from torch_parity.torch_ref.ops.dropout import dropout
from torch_parity.torch_ref.ops.linear import linear


class CharLSTM(nn.Module):
    """sizes is (t, width of the embedding, width of the LSTM, symbols)."""

    def __init__(self, sizes: tuple[int, ...], p: float = 0.0) -> None:
        super().__init__()
        _, e, n, symbols = sizes
        self.embedding = nn.Embedding(symbols, e)
        self.lstm = nn.LSTM(e, n, batch_first=True)
        self.drop = dropout(p)
        self.head = linear(n, symbols)
        self.output = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[m, t] -> [m, symbols, t]: cross_entropy wants the classes on axis 1"""
        h, _ = self.lstm(self.embedding(x))
        scores: Tensor = self.head(self.drop(h))
        out: Tensor = self.output(scores.transpose(1, 2))
        return out
