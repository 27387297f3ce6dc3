"""Where two models part: the first call that is wrong, not the first that is merely another."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_parity.compare.aten.check import check_modules
from torch_parity.compare.aten.index import Index
from torch_parity.compare.aten.parting import Parting
from torch_parity.compare.aten.step import Step, record_step

SEED = 4


class Layer(nn.Module):
    """Causal attention with one head, then a small network. A mask may be given."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.fc, self.proj = nn.Linear(6, 18), nn.Linear(6, 8), nn.Linear(8, 6)
        self.act: nn.Module = nn.GELU()

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.qkv(x)[:, None].chunk(3, -1)
        x = x + F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None)[:, 0]
        out: Tensor = x + self.proj(self.act(self.fc(x)))
        return out


class Model(nn.Module):
    """Some layers; the mask is made once for all of them, or nowhere."""

    def __init__(self, layers: nn.ModuleList, masked: bool) -> None:
        super().__init__()
        self.layers, self.masked = layers, masked

    def forward(self, x: Tensor) -> Tensor:
        mask = None
        if self.masked:
            places = torch.arange(x.shape[1])
            mask = places[None, :] <= places[:, None]
        for layer in self.layers:
            x = layer(x, mask)
        return x


def place(parting: Parting | None) -> tuple[str, str]:
    assert parting is not None
    assert parting.call is not None
    return parting.call.module, parting.call.phase


@pytest.mark.parametrize("masked", [0, 1])
def test_a_mask_that_the_layers_before_used_rightly_is_not_where_models_part(masked: int) -> None:
    torch.manual_seed(SEED)
    layers = nn.ModuleList([Layer(), Layer(), Layer()])
    models = [Model(copy.deepcopy(layers), i == masked) for i in range(2)]
    models[0].layers[1].act = nn.Identity()
    x = torch.randn(2, 5, 6)
    report = check_modules(*models, x, loss=lambda out: out.square().mean())
    places = place(report.parting), place(report.back)
    assert ("layers.1.act", "forward") in places, f"seed {SEED}\n{report}"
    assert all(module.startswith("layers.1") for module, _ in places), f"seed {SEED}\n{report}"


def test_a_gradient_that_is_cut_is_placed_where_it_is_cut() -> None:
    """Although the first result that differs is computed through the residual path."""
    torch.manual_seed(SEED)

    class Block(nn.Module):
        def __init__(self, cut: bool) -> None:
            super().__init__()
            self.first, self.norm, self.second = nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6)
            self.cut = cut

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            y = self.norm(x)
            out: Tensor = x + self.second(y.detach() if self.cut else y)
            return out

    a, b = Block(False), Block(True)
    b.load_state_dict(a.state_dict())
    report = check_modules(a, b, torch.randn(5, 6), loss=lambda out: out.square().mean())
    assert report.causes == ("detached",)
    assert ("norm", "backward") in (place(report.parting), place(report.back)), f"{report}"


def test_what_lay_in_unwritten_memory_is_no_tensor_that_both_have() -> None:
    """torch.empty hands out memory as it was left: by chance with the numbers of another model."""

    def model(x: Tensor) -> Tensor:
        return torch.empty_like(x).copy_(x) * 2

    record = record_step(Step(model, (torch.rand(40, 40),)))
    empty = next(c for c in record.calls if c.operation == "empty_like").outputs[0]
    with np.errstate(invalid="ignore"):
        left = np.nan_to_num(record.value(empty).numpy().astype("float64"))
    found = Index(record).like(left, np.full(left.shape, np.inf), empty.dtype)
    assert empty not in [entry.ref for entry in found]
