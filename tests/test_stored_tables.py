"""Rotary positions of which one model stores the table, in float32, and the other computes it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import torch_parity as tp

STEPS, WIDTH = 48, 16


def frequencies(base: float = 10000.0) -> Tensor:
    return 1.0 / base ** (torch.arange(0, WIDTH, 2).float() / WIDTH)


def table(base: float = 10000.0, first: int = 0) -> Tensor:
    return torch.outer(torch.arange(first, first + STEPS).float(), frequencies(base))


class Rotated(nn.Module):
    """Queries and keys of one head, rotated by tables that the buffers give."""

    def __init__(self, **buffers: Tensor) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def rotate(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return (self.rotate(self.q(x)) @ self.rotate(self.k(x)).mT / WIDTH**0.5).softmax(-1)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class Computed(Rotated):
    def __init__(self) -> None:
        super().__init__(inv_freq=frequencies())

    def rotate(self, x: Tensor) -> Tensor:
        angles = torch.outer(torch.arange(x.shape[1]).float(), self.inv_freq)
        return turned(x, angles.cos(), angles.sin())


class Stored(Rotated):
    def __init__(self, angles: Tensor, lost: Callable[[Tensor], Tensor] = lambda t: t) -> None:
        super().__init__(cos=lost(angles.cos()), sin=lost(angles.sin()))

    def rotate(self, x: Tensor) -> Tensor:
        return turned(x, self.cos[: x.shape[1]], self.sin[: x.shape[1]])


class StoredComplex(Rotated):
    def __init__(self, angles: Tensor) -> None:
        super().__init__(freqs_cis=torch.polar(torch.ones_like(angles), angles))

    def rotate(self, x: Tensor) -> Tensor:
        z = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(z * self.freqs_cis[: x.shape[1]]).flatten(-2)


def outcomes(stored: nn.Module) -> set[str]:
    """In either order."""
    torch.manual_seed(4)
    computed = Computed()
    stored.load_state_dict(computed.state_dict(), strict=False)
    x = torch.randn(2, 40, WIDTH)
    pairs = (computed, stored), (stored, computed)
    reports = [tp.check_modules(*pair, x, loss=lambda y: y.pow(2).mean()) for pair in pairs]
    return {report.outcome for report in reports}


@pytest.mark.parametrize("kind", [Stored, StoredComplex])
def test_a_stored_table_is_what_float32_makes_of_a_computed_one(
    kind: Callable[[Tensor], nn.Module],
) -> None:
    assert outcomes(kind(table())) == {"PASS"}


@pytest.mark.parametrize(
    "stored",
    [
        lambda: Stored(table(base=10001.0)),
        lambda: Stored(table(base=10000.5)),
        lambda: Stored(table(first=1)),
        lambda: Stored(table(), lambda t: t.bfloat16().float()),
        lambda: Stored(table(), lambda t: t.half().float()),
        lambda: Stored(table(), lambda t: t * (1 + 1e-5)),
        lambda: Stored(-table()),
        lambda: StoredComplex(table(base=500000.0)),
        lambda: StoredComplex(table(first=1)),
    ],
)
def test_another_table_is_not(stored: Callable[[], nn.Module]) -> None:
    assert outcomes(stored()) == {"FAIL"}
