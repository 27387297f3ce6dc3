"""A network and its port, trained side by side: the port's AdamW also decays the biases.

`python examples/train_side_by_side/train.py` trains both, shows the first wrong step, corrects the
optimizer, and trains both again. `runs/decayed` and `runs/right` have the curves.
"""

from collections.abc import Iterator

import torch
from torch import nn

from torch_parity import train_modules
from torch_parity.compare.runs.modules_report import TrainingReport


class Port(nn.Module):
    """nn.Linear(8, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 3), with weights (in, out)."""

    def __init__(self, original: nn.Sequential) -> None:
        super().__init__()
        first, last = original[0], original[3]
        self.w1 = nn.Parameter(first.weight.detach().T.clone())
        self.b1 = nn.Parameter(first.bias.detach().clone())
        self.w2 = nn.Parameter(last.weight.detach().T.clone())
        self.b2 = nn.Parameter(last.bias.detach().clone())
        self.drop = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """# [m, 8] -> [m, 3]"""
        h: torch.Tensor = self.drop(torch.tanh(x @ self.w1 + self.b1))
        return h @ self.w2 + self.b2


def batches(steps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same ones whenever it is called."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(32, 8, generator=generator)
        yield x, x[:, :3].argmax(dim=1)


def adamw(model: nn.Module, decay_biases: bool) -> torch.optim.Optimizer:
    """Weight decay of the weights, and of the biases only if asked."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim == 1]
    groups = [
        {"params": weights},
        {"params": biases, "weight_decay": 0.1 if decay_biases else 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)


def main() -> None:
    """Print the report on the port with the wrong optimizer, and with the right one."""
    torch.manual_seed(0)
    original = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 3))
    port = Port(original)

    def trained(decay_biases: bool, run: str) -> TrainingReport:
        return train_modules(
            original,
            port,
            batches(20),
            loss=nn.CrossEntropyLoss(),
            optimizers=(adamw(original, False), adamw(port, decay_biases)),
            run=run,
            called=("original", "port"),
        )

    print(trained(True, "decayed"))
    print("\nWithout decay of the biases:", trained(False, "right"), sep="\n")


if __name__ == "__main__":
    main()
