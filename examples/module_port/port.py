"""A module and its port, which has two mistakes: a transposed weight and a forgotten eval().

`python examples/module_port/port.py` judges the port, corrects one mistake after the other, and
judges it again each time.
"""

import torch
from torch import nn

from torch_parity import check_modules
from torch_parity.compare.aten.pair_report import ModulesReport


class Original(nn.Module):
    """The trained network, 8 -> 6 -> 6 -> 3."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.act, self.drop = nn.Linear(8, 6), nn.ReLU(), nn.Dropout(0.2)
        self.mix, self.act2 = nn.Linear(6, 6), nn.Tanh()
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """# [m, 8] -> [m, 3]"""
        x = self.drop(self.act(self.embed(x)))
        return self.head(self.act2(self.mix(x)))


class Port(nn.Module):
    """The same layers in a list, with the weights of an Original copied over."""

    def __init__(self, original: Original) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3)
        )
        own, theirs = self.state_dict(), original.state_dict()
        self.load_state_dict(
            {name: theirs[of] for name, of in zip(own, theirs, strict=True)}
            | {"layers.3.weight": theirs["mix.weight"].T}  # mistake 1: no error, as it is square
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """# [m, 8] -> [m, 3]"""
        out: torch.Tensor = self.layers(x)
        return out


def main() -> None:
    """Print the report of the port, and those of the corrected port."""
    torch.manual_seed(0)
    original = Original().eval()
    port = Port(original)  # mistake 2: no eval(), so its dropout is on
    x, y = torch.randn(10, 8), torch.randint(0, 3, (10,))
    loss = nn.CrossEntropyLoss()

    def judge() -> ModulesReport:
        called = ("original", "port")
        return check_modules(original, port, x, loss=loss, target=y, called=called)

    print(judge())
    port.eval()
    print("\nIn evaluation mode:", judge(), sep="\n")
    port.get_parameter("layers.3.weight").data.copy_(original.mix.weight)
    print("\nWith its own weight:", judge().short)


if __name__ == "__main__":
    main()
