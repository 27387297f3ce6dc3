"""Thousands of damaged files: each is refused in one line or judged, none crashes, hangs or passes
for what it is not."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import numpy as np
import pytest

from tests import slow
from tests.damage import edit
from tests.trace_samples import as_npz, as_safetensors, metadata, named, read_by_others, trace
from torch_parity.compare.commands.diff import diff
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.report import Report

CHUNKS, FILES, SECONDS = 16, 150, 20  # 2,400 files, and so long at most for each

Mutation = Callable[[Random, bytes], bytes]

WILD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 2**64, 1e400, 0.5, "", "x", "F32", "I64", "BF16", "C64"),
    *(
        [],
        [0],
        [2, 2],
        [-1],
        [2**62, 0],
        {},
        {"a": 1},
        "sum",
        "../../etc/passwd",
        "[/red]",
        "\x1b[2J",
    ),
)


def flipped(rng: Random, content: bytes) -> bytes:
    """A few bits anywhere."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def flipped_at_the_start(rng: Random, content: bytes) -> bytes:
    """A byte of the header."""
    data = bytearray(content)
    data[rng.randrange(min(len(data), _header_end(content)))] = rng.randrange(256)
    return bytes(data)


def truncated(rng: Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def spliced(rng: Random, content: bytes) -> bytes:
    """A piece of the file over another piece, or put in, or cut out."""
    length = rng.choice((1, 8, 64, 512))
    a, b = (rng.randrange(len(content)) for _ in range(2))
    piece = content[a : a + length]
    how = rng.randrange(3)
    return content[:b] + (piece, piece, b"")[how] + content[b + (0, length, length)[how] :]


def with_a_wild_number(rng: Random, content: bytes) -> bytes:
    """Eight bytes of data that say NaN, infinity, the least integer..."""
    numbers = (np.nan, np.inf, -np.inf, 5e-324, 1.7e308, 0.0, -1.0)
    ints = (-(2**63), 2**63 - 1, -1)
    wild = [np.float64(n).tobytes() for n in numbers] + [np.int64(n).tobytes() for n in ints]
    at = _header_end(content) + 8 * rng.randrange((len(content) - _header_end(content)) // 8)
    return content[:at] + rng.choice(wild) + content[at + 8 :]


def with_another_header(rng: Random, content: bytes) -> bytes:
    """One value of the header's JSON, or of the JSON inside its metadata, replaced or dropped."""
    header = json.loads(content[8 : _header_end(content)])
    if rng.random() < 0.6:
        key = rng.choice(("nodes", "nodes", "nodes", "order"))
        inside = json.loads(header["__metadata__"][key])
        edit(rng, inside, WILD)
        header["__metadata__"][key] = json.dumps(inside)
    else:
        edit(rng, header, WILD)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[_header_end(content) :]


def with_other_arrays(rng: Random, content: bytes) -> bytes:
    """The archive written anew, sound but for one array."""
    tensors, said = named(trace()), metadata(trace())
    name = rng.choice(list(tensors))
    a = tensors[name]
    ways: tuple[Callable[[], Any], ...] = (
        lambda: a.astype(object),
        lambda: a.astype(str),
        lambda: a.astype(complex),
        lambda: a.astype(bool),
        lambda: a.astype(np.float16),
        lambda: a.astype(np.longdouble),
        lambda: a.astype(">f8"),
        lambda: a.astype(np.int64),
        lambda: a.T,
        lambda: a[..., None],
        lambda: a.reshape(-1)[:0],
        lambda: np.asfortranarray(a),
        lambda: np.full(a.shape, np.nan),
        lambda: a * (1 + rng.choice((1e-15, 1e-13, 1e-9, 1e-3))),
        lambda: np.rec.array([(1, 2.0)]),
    )
    tensors[name] = rng.choice(ways)()
    if rng.random() < 0.2:
        tensors[rng.choice(("z1", "made/q", "given/q", "new_W1", "a b", "[red]"))] = a
    return as_npz(tensors, said)


def _header_end(content: bytes) -> int:
    return 200 if content[:2] == b"PK" else 8 + int.from_bytes(content[:8], "little")


ANY = (flipped, flipped_at_the_start, truncated, spliced)
OF_SAFETENSORS = (*ANY, *(with_a_wild_number, with_another_header) * 2, with_another_header)
OF_NPZ = (*ANY, *(with_other_arrays,) * 3)


@contextmanager
def time_limit(label: str) -> Iterator[None]:
    def late(signum: int, frame: FrameType | None) -> None:
        pytest.fail(f"{label}: still at work after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("chunk", slow.after(4, range(CHUNKS)))
def test_no_damaged_file_crashes_hangs_or_passes_for_another(chunk: int, tmp_path: Path) -> None:
    kind, mutations = (as_npz, OF_NPZ) if chunk % 4 == 3 else (as_safetensors, OF_SAFETENSORS)
    whole = kind(named(trace()), metadata(trace()))
    original, damaged = tmp_path / "original", tmp_path / "damaged"
    original.write_bytes(whole)
    ended: dict[str, int] = {}
    for seed in range(chunk * FILES, (chunk + 1) * FILES):
        rng = Random(seed)
        mutation = rng.choice(mutations)
        label = f"seed {seed} ({mutation.__name__})"
        damaged.write_bytes(mutation(rng, whole))
        with time_limit(label):
            how = _ends(label, original, damaged)
        ended[how] = ended.get(how, 0) + 1
    assert {"refused", "FAIL"} <= set(ended), f"chunk {chunk} tries too little: {ended}"


def _ends(label: str, original: Path, damaged: Path) -> str:
    try:
        report = diff(original, damaged)
        _ = report.short
    except InputError as error:
        said = str(error)
    except Exception as error:
        error.add_note(label)
        raise
    else:
        return _judged(label, original, damaged, report)
    assert said.isprintable(), f"{label}: {said!r} is not one line"
    return "refused"


def _judged(label: str, original: Path, damaged: Path, report: Report) -> str:
    if not report.passed:
        return "FAIL"
    wrong = [name for name, reason in _apart(original, damaged, report).items() if reason]
    assert not wrong, f"{label}: passes, though {', '.join(wrong)} changed"
    return "PASS"


def _apart(original: Path, damaged: Path, report: Report) -> dict[str, bool]:
    """Which tensors are not equal, as others than we read the files."""
    a, b = (read_by_others(path, path.read_bytes()) for path in (original, damaged))
    explained = {d.name for d in report.judgement.differences if d.verdict == "rounding"}
    return {
        name: name.removeprefix("made/") not in explained
        and (name not in a or name not in b or _changed(a[name], b[name]))
        for name in a | b
    }


def _changed(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape or a.dtype.newbyteorder("=") != b.dtype.newbyteorder("="):
        return True
    if a.dtype.kind != "f":
        return not np.array_equal(a, b)
    return not np.array_equal(a, b)
