"""A checkpoint is complete, or refused by name."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from torch_parity.compare.errors import InputError
from torch_parity.compare.runs import atomic, checkpoint
from torch_parity.compare.runs.checkpoint import Checkpoint

RECORD = {"text": "\u03b1", "numbers": [0.1, 1e-320, 2**127], "order": {"b": 1, "a": None}}


def made(step: int) -> Checkpoint:
    rng = np.random.default_rng(step)
    arrays = {
        "z/W1": rng.normal(size=(3, 2)).astype(np.float32),
        "t": np.asarray(7),
        "W10": rng.normal(size=5),
        "W2": np.array([np.nan, -0.0, np.inf, 5e-324]),
        "columns": np.asfortranarray(rng.normal(size=(2, 3))),
        "bytes": np.arange(5, dtype=np.uint8),
        "none": np.zeros((0, 4)),
    }
    return Checkpoint(step, arrays, RECORD)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return (
        (a.step, a.record, list(a.tensors)) == (b.step, b.record, list(b.tensors))
        and list(a.record["order"]) == list(b.record["order"])
        and all(
            (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())
            for x, y in zip(a.tensors.values(), b.tensors.values(), strict=True)
        )
    )


def test_every_bit_comes_back_in_order(tmp_path: Path) -> None:
    checkpoint.store(tmp_path, made(3))
    (path,) = checkpoint.stored(tmp_path)
    assert same(checkpoint.load(path), made(3))


def test_two_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 100, 1000):
        checkpoint.store(tmp_path, made(step))
    assert [checkpoint.load(p).step for p in checkpoint.stored(tmp_path)] == [100, 1000]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("seed", range(30))
def test_a_changed_byte_or_a_lost_end_is_refused(tmp_path: Path, suffix: str, seed: int) -> None:
    checkpoint.store(tmp_path, made(3))
    (path,) = checkpoint.stored(tmp_path)
    damaged = path.with_suffix(suffix)
    rng = np.random.default_rng(seed)
    content = damaged.read_bytes()
    # Blanks between the parts of a JSON file say nothing, so they may change.
    at = int(rng.choice([i for i, byte in enumerate(content) if not chr(byte).isspace()]))
    bit = 1 << int(rng.integers(8))
    changed = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
    damaged.write_bytes(changed if seed % 3 else content[:at])
    with pytest.raises(InputError, match=rf"{damaged.name} .*damaged"):
        checkpoint.load(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "1", "{}", '{"checksum": 1}', "[" * 10**5])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "000000003.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"000000003.json is damaged"):
        checkpoint.load(path)


def test_a_missing_part_is_refused(tmp_path: Path) -> None:
    checkpoint.store(tmp_path, made(3))
    (path,) = checkpoint.stored(tmp_path)
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(InputError, match=r"000000003.safetensors cannot be read: No such file"):
        checkpoint.load(path)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a"
    atomic.write(path, b"first")
    monkeypatch.setattr(*((os, "fsync") if fails == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write(path, b"second")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"first")]
