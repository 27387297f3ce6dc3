"""Sequences of symbols: how a file is read, and the loss over every position."""

from pathlib import Path

import numpy as np
import pytest
import torch

from torch_parity import Case, manual
from torch_parity.compare import data
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.errors import InputError
from torch_parity.compare.sources import pair


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Twenty sequences of five symbols of four, each with the next ones."""
    text = np.random.default_rng(0).integers(0, 4, (20, 6))
    path = tmp_path / "text.npz"
    np.savez(path, x=text[:, :-1], next=text[:, 1:])
    return str(path)


def test_symbols_are_neither_scaled_nor_split_up(file: str) -> None:
    case = Case(data=file, target="next", dtype="float32")
    d = data.load(case)
    assert (d.x_train.shape, d.x_dev.shape, d.labels_train.shape) == ((16, 5), (4, 5), (16, 5))
    assert d.x_train.dtype == d.labels_train.dtype == np.int64
    assert d.classes == 4
    t = data.targets(case, d)
    assert (t.loss, t.n_out) == ("cross_entropy", 4)
    assert np.array_equal(d.x_train[:, 1:], t.y_train[:, :-1])


def test_a_model_of_numbers_refuses_them(file: str) -> None:
    case = Case(data=file, target="next")
    with pytest.raises(InputError, match="mlp reads rows of numbers"):
        pair.build(case, data.load(case))
    other = Case(data=file, target="next", loss="mse_loss")
    loaded = data.load(other)
    with pytest.raises(InputError, match="use --loss cross_entropy"):
        data.targets(other, loaded)


@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_loss_over_every_position_is_torchs(reduction: str, dtype: str) -> None:
    from torch_parity.torch_ref.losses.cross_entropy import cross_entropy

    rng = np.random.default_rng(1)
    z, y = rng.normal(0, 3, (3, 4, 5)).astype(dtype), rng.integers(0, 4, (3, 5))
    how = {"reduction": reduction}
    loss = manual.cross_entropy(z, y, **how)  # type: ignore[arg-type]
    dz = manual.cross_entropy_backward(z, y, **how)  # type: ignore[arg-type]
    theirs = torch.tensor(z, requires_grad=True)
    value = cross_entropy(reduction)(theirs, torch.tensor(y))
    value.backward()
    assert theirs.grad is not None
    bounded = Bounded.exact(z)
    for made, torchs, exact in (
        (loss, value.detach(), manual.cross_entropy(bounded, y, **how)),  # type: ignore[arg-type]
        (dz, theirs.grad, manual.cross_entropy_backward(bounded, y, **how)),  # type: ignore[arg-type]
    ):
        for came in (made, torchs.numpy()):
            assert came.dtype == dtype
            assert np.all(np.abs(came - exact.value) <= exact.error)
    with pytest.raises(ValueError, match="y has shape"):
        manual.cross_entropy(z, y[:, :1])
