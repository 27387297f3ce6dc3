"""Complex numbers: rotary positions, Fourier transforms, conjugates; what is right passes in either
order, and what is not fails."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torch_parity as tp
from torch_parity.compare.bounds.tensors import BoundedTensor, Complex, replay_call

ATEN = torch.ops.aten
SEED = 31
DTYPES = [torch.float32, torch.float64]


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(dtype)


def size(output: Tensor) -> Tensor:
    return output.abs().pow(3).mean()


# --- one call


def pairs(x: Any) -> Any:
    return Complex(torch.view_as_real(x)) if isinstance(x, Tensor) and x.is_complex() else x


def in_pairs(x: Tensor) -> np.ndarray:
    return (torch.view_as_real(x) if x.is_complex() else x).numpy()


def uses(overload: Any, args: tuple[Any, ...], seen: Tensor) -> tuple[float, float]:
    """The largest gap in units of the bound, and the largest bound in units of the result."""
    found = replay_call(overload, tuple(map(pairs, args)))[0]
    assert isinstance(found, BoundedTensor)
    value, error = found.bounded.value, found.bounded.error
    gap = np.abs(in_pairs(seen) - value)
    with np.errstate(all="ignore"):
        worst = np.where(gap == 0, 0.0, gap / error).max()
    return float(worst), float(error.max() / np.abs(value).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 12, 31, 64, 100])
@pytest.mark.parametrize("scale", [0, 1, 2])
def test_fourier_transforms(n: int, scale: int, dtype: torch.dtype) -> None:
    """Their bound holds torch's own, and not one whose numbers are moved by a thousandth of it."""
    torch.manual_seed(SEED + n)
    x, z = drawn(3, n, 2, dtype=dtype), torch.complex(*drawn(2, 3, n, 4, dtype=dtype))
    half = torch.complex(*drawn(2, 3, n // 2 + 1, 2, dtype=dtype))
    for overload, args in (
        (ATEN._fft_r2c.default, (x, [1], scale, True)),
        (ATEN._fft_r2c.default, (x, [0, 1], scale, False)),
        (ATEN._fft_c2c.default, (z, [1], scale, True)),
        (ATEN._fft_c2c.default, (z, [0, 2, 1], scale, False)),
        (ATEN._fft_c2r.default, (half, [1], scale, n)),
        (ATEN._fft_c2r.default, (half, [2, 1], scale, n)),
    ):
        seen = overload(*args)
        use, reach = uses(overload, args, seen)
        assert use < 0.5, (overload, n, scale, use)
        assert reach < n * 1e3 * torch.finfo(dtype).eps, (overload, n, scale, reach)
        assert uses(overload, args, seen * 1.001)[0] > 1
        if overload is ATEN._fft_c2c.default and (n > 2 or len(args[1]) > 1):
            assert uses(overload, (*args[:3], not args[3]), seen)[0] > 1, "the other direction"


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic(dtype: torch.dtype) -> None:
    torch.manual_seed(SEED)
    x, y = (torch.complex(*drawn(2, 3, 4, dtype=dtype)) for _ in range(2))
    r = drawn(3, 4, dtype=dtype)
    for overload, args in (
        (ATEN.mul.Tensor, (x, y)),
        (ATEN.mul.Tensor, (r, y)),
        (ATEN.mul.Tensor, (x, r[0])),
        (ATEN.mul.Tensor, (x, 2 - 3j)),
        (ATEN.div.Tensor, (x, y)),
        (ATEN.div.Tensor, (x, 3.0)),
        (ATEN.div.Tensor, (r, y)),
        (ATEN.add.Tensor, (x, y)),
        (ATEN.add.Tensor, (x, r)),
        (ATEN.add.Tensor, (r, x)),
        (ATEN.sub.Tensor, (x, r)),
        (ATEN.sub.Tensor, (r, x)),
        (ATEN.neg.default, (x,)),
        (ATEN.exp.default, (x,)),
        (ATEN.abs.default, (x,)),
        (ATEN.sgn.default, (x,)),
        (ATEN.angle.default, (x,)),
        (ATEN._conj_physical.default, (x,)),
        (ATEN.polar.default, (r.abs(), r)),
        (ATEN.complex.default, (r, 2 * r)),
        (ATEN.sum.dim_IntList, (x, [-1], True)),
        (ATEN.mean.default, (x,)),
        (ATEN.mm.default, (x, y.T.contiguous())),
        (ATEN.bmm.default, (x.expand(2, 3, 4), y.mT.expand(2, 4, 3))),
        (ATEN.addmm.default, (y @ x.mT, x, y.T.contiguous())),
        (ATEN.cat.default, ([x, y], -1)),
        (ATEN.slice.Tensor, (x, 1, 1, 3)),
        (ATEN.view.default, (x, [2, 6])),
        (ATEN.constant_pad_nd.default, (x, [1, 2])),
        (ATEN.slice_backward.default, (x, [3, 9], 1, 2, 6, 1)),
    ):
        args = tuple([*map(pairs, a)] if isinstance(a, list) else a for a in args)
        plain = tuple(
            [torch.view_as_complex(b.pairs) if isinstance(b, Complex) else b for b in a]
            if isinstance(a, list)
            else a
            for a in args
        )
        seen = overload(*plain)
        use, reach = uses(overload, args, seen)
        assert use <= 1, (overload, use)
        assert reach < 100 * torch.finfo(dtype).eps, (overload, reach)
        assert uses(overload, args, seen * 1.001)[0] > 1, overload


# --- models


class Linear(nn.Module):
    """A linear layer, and what is done with its output."""

    def __init__(self, done: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.done = nn.Linear(8, 8), done

    def forward(self, x: Tensor) -> Tensor:
        return self.done(self.linear(x))


def angles(h: Tensor) -> Tensor:
    steps = torch.arange(h.shape[1]).float()
    return torch.outer(steps, 1 / 100 ** (torch.arange(0, 8, 2).float() / 8))


def rotated(h: Tensor) -> Tensor:
    """As Llama's own code does."""
    table = torch.polar(torch.ones_like(angles(h)), angles(h))
    z = torch.view_as_complex(h.reshape(*h.shape[:-1], -1, 2))
    return torch.view_as_real(z * table.to(z.dtype)).flatten(-2)


def rotated_by_hand(h: Tensor, other: str = "") -> Tensor:
    cos, sin = angles(h).cos(), angles(h).sin()
    even, odd = h[..., 0::2], h[..., 1::2]
    if other == "halves":
        even, odd = h.chunk(2, -1)
    if other == "backwards":
        sin = -sin
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


def waves(n: int) -> tuple[Tensor, Tensor]:
    turns = 2 * math.pi * torch.outer(torch.arange(n), torch.arange(n)).double() / n
    return turns.cos(), turns.sin()


def fnet_by_hand(h: Tensor, back: bool = False) -> Tensor:
    (cos, sin), (down, across) = waves(h.shape[-1]), waves(h.shape[-2])
    x = h.double()
    made = down @ (x @ cos) + (1 if back else -1) * (across @ (x @ sin))
    return made.to(h.dtype)


def convolved(h: Tensor, conjugate: bool = False) -> Tensor:
    """With the sequence of the first sample, around."""
    f = torch.fft.rfft(h, dim=1)
    g = f[:1].conj() if conjugate else f[:1]
    return torch.fft.irfft(f * g, n=h.shape[1], dim=1)


def convolved_by_hand(h: Tensor) -> Tensor:
    n = h.shape[1]
    at = (torch.arange(n)[:, None] - torch.arange(n)) % n
    return torch.einsum("mtc,utc->muc", h, h[0][at])


def spectrum(h: Tensor, hop: int = 4, periodic: bool = True, window: int = 16) -> Tensor:
    """Of overlapping pieces of each sample."""
    w = torch.hann_window(window, periodic=periodic).to(h.dtype)
    return torch.stft(h.flatten(1), window, hop, window=w, return_complex=True)


def spectrum_by_hand(h: Tensor) -> Tensor:
    x = nn.functional.pad(h.flatten(1)[:, None], (8, 8), mode="reflect")[:, 0]
    w = torch.hann_window(16).to(h.dtype)
    return torch.fft.rfft(x.unfold(-1, 16, 4) * w).mT


def without_weak_parts(h: Tensor) -> Tensor:
    f = spectrum(h)
    strong = torch.where(f.abs() > 1, f, torch.zeros_like(f))
    return torch.istft(strong, 16, 4, window=torch.hann_window(16).to(h.dtype))


def without_weak_parts_by_hand(h: Tensor) -> Tensor:
    f = spectrum_by_hand(h)
    strong = f * (f.abs() > 1)
    return torch.istft(strong, 16, 4, window=torch.hann_window(16).to(h.dtype))


def written_into(h: Tensor) -> Tensor:
    table = torch.empty(h.shape[1], 8, dtype=torch.complex64)
    pairs = torch.view_as_real(table)
    at = angles(h).repeat_interleave(2, -1)
    pairs[..., 0].copy_(at.cos())
    pairs[..., 1].copy_(at.sin())
    return (h * table).abs()


CASES: dict[str, tuple[Any, Any, list[Any]]] = {
    "a spectrogram": (
        lambda h: spectrum(h).abs(),
        lambda h: spectrum_by_hand(h).abs(),
        [lambda h: spectrum(h, periodic=False).abs(), lambda h: spectrum(h, hop=5).abs()],
    ),
    "a filter of a spectrum": (
        without_weak_parts,
        without_weak_parts_by_hand,
        [lambda h: without_weak_parts(1.01 * h)],
    ),
    "complex memory that is written into": (
        written_into,
        lambda h: (h * torch.polar(torch.ones(5, 8), angles(h).repeat_interleave(2, -1))).abs(),
        [lambda h: written_into(h) * (1 + 1e-9)],
    ),
    "rotary positions": (
        rotated,
        rotated_by_hand,
        [lambda h: rotated_by_hand(h, "halves"), lambda h: rotated_by_hand(h, "backwards")],
    ),
    "mixing by Fourier transforms": (
        lambda h: torch.fft.fft(torch.fft.fft(h, dim=-1), dim=-2).real,
        fnet_by_hand,
        [
            lambda h: fnet_by_hand(h, back=True),
            lambda h: torch.fft.fft2(h).imag,
            lambda h: torch.fft.fft2(h, norm="ortho").real,
        ],
    ),
    "convolution by Fourier transforms": (
        convolved,
        convolved_by_hand,
        [lambda h: convolved(h, conjugate=True)],
    ),
    "the size of a spectrum": (
        lambda h: torch.fft.rfft(h).abs(),
        lambda h: (torch.fft.rfft(h).real ** 2 + torch.fft.rfft(h).imag ** 2).sqrt(),
        [lambda h: (torch.fft.rfft(h) * torch.fft.rfft(h)).real.abs().sqrt()],
    ),
    "a conjugate as output": (
        lambda h: torch.fft.fft(h).conj(),
        lambda h: torch.fft.ifft(h, norm="forward"),
        [torch.fft.fft],
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_models(case: str, dtype: torch.dtype) -> None:
    first, second, wrong = CASES[case]
    torch.manual_seed(SEED)
    x = drawn(3, 5, 8, dtype=dtype)
    a = Linear(first).to(dtype)
    for done in (second, *wrong):
        b = Linear(done).to(dtype)
        b.load_state_dict(a.state_dict())
        for one, other in ((a, b), (b, a)):
            report = tp.check_modules(one, other, x, loss=size)
            expected = "PASS" if done is second else "FAIL"
            assert report.outcome == expected, (case, dtype, str(report))


class OfComplexWeights(nn.Module):
    """x @ W.T + b of complex weights, at once or by parts."""

    def __init__(self, parts: bool, sign: int = -1) -> None:
        super().__init__()
        self.parts, self.sign = parts, sign
        self.weight = nn.Parameter(torch.randn(4, 3, dtype=torch.complex64))
        self.bias = nn.Parameter(torch.randn(4, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.parts:
            return nn.functional.linear(x, self.weight, self.bias)
        w, b = self.weight, self.bias
        re = x.real @ w.real.T + self.sign * (x.imag @ w.imag.T)
        return torch.complex(re + b.real, x.real @ w.imag.T + x.imag @ w.real.T + b.imag)


def test_complex_weights_and_inputs(tmp_path: Path) -> None:
    torch.manual_seed(SEED)
    a, x = OfComplexWeights(False), torch.randn(5, 3, dtype=torch.complex64)
    kept = tmp_path / "a.parity"
    tp.record_model(a, x, loss=size).save(kept)
    for sign, expected in ((-1, "PASS"), (1, "FAIL")):
        b = OfComplexWeights(True, sign)
        b.load_state_dict(a.state_dict())
        for one, other in ((a, b), (b, a), (tp.load_recording(kept), b)):
            report = tp.check_modules(one, other, x, loss=size)
            assert report.outcome == expected, str(report)


def test_a_complex_output_is_not_its_parts() -> None:
    parts = Linear(lambda h: torch.view_as_real(torch.fft.fft(h)))
    whole = Linear(torch.fft.fft)
    parts.load_state_dict(whole.state_dict())
    report = tp.check_modules(whole, parts, drawn(2, 8, dtype=torch.float32))
    assert report.outcome != "PASS"
    assert "complex64" in str(report)
