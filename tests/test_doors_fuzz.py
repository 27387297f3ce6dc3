"""Hundreds of damaged case files and run folders: one line or a judgement each, in bounded time and
memory; none is trained on as if it were whole, and nothing outside a run is written."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.command import Ended, parity, refusal
from tests.damage import edit
from tests.runs_made import left, stop_after
from torch_parity.compare import memory
from torch_parity.compare.case import Case
from torch_parity.compare.commands import train
from torch_parity.compare.runs import checkpoint
from torch_parity.compare.runs.checkpoint import Checkpoint

CASE_FILES, RUN_FOLDERS, SECONDS, GIGABYTES = 500, 200, 60, 3
VALUES = (
    *("0", "-1", "1", "7", "1e300", "1e-300", "nan", "inf", "true", "''", "'x'", "[]", "[[]]"),
    *("9" * 400, "9" * 5000, "0x" + "f" * 400, "[1, 2]", "[[3], [4]]", "{a = 1}", "1979-05-27"),
    *("'../../etc/passwd'", "'\\u001b[2J'", '"\\u001b[2J"', "[true]", "[0.5, 'x']", "[" * 500),
    *("'relu,tanh'", "'moons'", "'mse_loss'", "'softmax'", "'none'", "10000000000"),
)
BASE = ["--data", "moons", "--samples", "30", "--hidden", "3", "--batch", "8", "--log-every", "2"]
STEPS = 8


@contextmanager
def bounded(label: str) -> Iterator[None]:
    """In so many seconds and so much memory."""

    def late(*_: object) -> None:
        pytest.fail(f"{label}: still at work after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with memory.limited(GIGABYTES * memory.GB):
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def in_good_order(label: str, ended: Ended) -> None:
    assert ended.status in (0, 1, 2, 3), f"{label}: {ended}"
    assert "\x1b" not in ended.out + ended.err, label
    if ended.status == 2:
        refusal(ended, after_output=True)


def case_text(rng: Random) -> str:
    """Some lines of a case, and damage to a byte of it now and then."""
    names = [*Case.model_fields, "repeats", "lr.x", '"\\u001b"']
    lines = [f"{rng.choice(names)} = {rng.choice(VALUES)}" for _ in range(rng.choice((1, 1, 2, 4)))]
    text = "\n".join(lines)
    if rng.random() < 0.2:
        at = rng.randrange(len(text))
        text = text[:at] + chr(rng.randrange(1, 0x2100)) + text[at + 1 :]
    return text


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(5))
def test_case_files(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended: dict[int, int] = {}
    count = CASE_FILES // 5
    for seed in range(chunk * count, (chunk + 1) * count):
        rng = Random(seed)
        Path("mine.toml").write_text(case_text(rng), "utf-8")
        with bounded(f"seed {seed}"):
            found = parity("check", "--case", "mine.toml", "--steps", "1", "--samples", "20")
        in_good_order(f"seed {seed}", found)
        ended[found.status] = ended.get(found.status, 0) + 1
    assert ended[2] > count // 4, ended
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A whole run, and one that was stopped after step 5, with checkpoints 4 and 5."""
    root = tmp_path_factory.mktemp("runs")
    args = ["train", *BASE, "--steps", str(STEPS), "--runs", str(root), "--name"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "STORE_EVERY", 4)
        assert parity(*args, "whole").status == 0
        stop_after(5, patch)
        assert parity(*args, "stopped").status == 130
    return root / "whole", root / "stopped"


def flip(rng: Random, path: Path) -> None:
    content = bytearray(path.read_bytes() or b"x")
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(rng: Random, path: Path) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size + 1))


def double(rng: Random, path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def remove(rng: Random, path: Path) -> None:
    path.unlink()


def as_link(rng: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parents[-3] / "no-such-file" if rng.random() < 0.2 else mine_of(path))


def as_hard_link(rng: Random, path: Path) -> None:
    path.unlink()
    path.hardlink_to(mine_of(path))


def as_folder(rng: Random, path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_other(rng: Random, path: Path) -> None:
    """Another file of the run in its place."""
    files = sorted(p for p in root_of(path).rglob("*") if p.is_file())
    path.write_bytes(rng.choice(files).read_bytes())


def beside(rng: Random, path: Path) -> None:
    """One more file, under a name that may mean something."""
    names = ("x.json", "999999999.json", "000000009.json", "events.out.tfevents.9", "a.part")
    (path.parent / rng.choice(names)).write_bytes(path.read_bytes())


def edited_json(rng: Random, path: Path) -> None:
    path = rng.choice(sorted(root_of(path).rglob("*.json")))
    record = json.loads(path.read_text())
    edit(rng, record, [None, -1, 2**70, 0.5, "", "x", "../../mine", [], {}, True])
    path.write_text(json.dumps(record))


def resealed(rng: Random, path: Path) -> None:
    """A checkpoint with another record or other arrays, and the right checksums."""
    for at in checkpoint.stored(root_of(path) / "checkpoints"):
        held = checkpoint.load(at)
        if rng.random() < 0.5:
            edit(rng, held.record, [None, -1, 2**70, 0.5, "", "x", "../../mine", [], {}, True])
        else:
            name = rng.choice(list(held.tensors))
            held.tensors[name] = held.tensors[name].reshape(-1)[:1].copy()
        checkpoint.store(at.parent, Checkpoint(held.step, held.tensors, held.record))


def root_of(path: Path) -> Path:
    return next(p for p in path.parents if (p.parent / "mine").exists())


def mine_of(path: Path) -> Path:
    return root_of(path).parent / "mine"


# Damage after which a run that passes must have the very numbers of the whole one.
HONEST: tuple[Callable[[Random, Path], None], ...] = (flip, flip, cut, double, remove, beside)
HOSTILE = (as_link, as_hard_link, as_folder, as_other, edited_json, resealed)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(4))
def test_run_folders(
    chunk: int, runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "STORE_EVERY", 4)
    whole = left(runs[0])
    ended: dict[int, int] = {}
    count = RUN_FOLDERS // 4
    for seed in range(chunk * count, (chunk + 1) * count):
        rng = Random(seed)
        root = tmp_path / str(seed)
        run = shutil.copytree(runs[1], root / "a")
        (root / "mine").write_text("mine")
        damage = rng.choice((*HONEST, *HOSTILE))
        label = f"seed {seed} ({damage.__name__})"
        damage(rng, rng.choice(sorted(p for p in run.rglob("*") if p.is_file())))
        with bounded(label):
            resumed = parity("train", "--resume", "a", "--runs", str(root))
            report = parity("report", "a", "--runs", str(root))
        in_good_order(label, resumed)
        in_good_order(label, report)
        assert sorted(p.name for p in root.iterdir()) == ["a", "mine"], label
        assert (root / "mine").read_text() == "mine", label
        if damage in HONEST and resumed.status == 0:
            assert left(run)["arrays"] == whole["arrays"], label
        ended[resumed.status] = ended.get(resumed.status, 0) + 1
        shutil.rmtree(root)
    assert ended[0] > 5, ended
    assert ended[2] > 5, ended


@pytest.mark.slow
def test_a_damaged_log_of_each_kind_is_shown_or_refused(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    for i, damage in enumerate(dict.fromkeys((*HONEST, *HOSTILE))):
        run: Any = shutil.copytree(runs[1], tmp_path / str(i) / "a")
        (run.parent / "mine").write_text("mine")
        damage(Random(i), run / "torch/events.out.tfevents.0")
        in_good_order(damage.__name__, parity("report", "a", "--runs", str(run.parent)))
        assert (run.parent / "mine").read_text() == "mine"
