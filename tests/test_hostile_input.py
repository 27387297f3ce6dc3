"""Files of somebody else: they end with status 2 and one line, in bounded time and memory, and the
terminal obeys nothing in them."""

import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.command import Ended, refusal
from tests.trace_samples import as_npz, as_safetensors
from torch_parity.compare import cli
from torch_parity.compare.commands.diff import diff
from torch_parity.compare.data import user_npz

Parity = Callable[..., Ended]
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
ESCAPE = "\x1b[2J"
SECONDS = 20  # a case file is refused at once; under load that takes longer


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        pytest.fail(f"still at work after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def one_line(ended: Ended) -> str:
    said = refusal(ended)
    assert len(said) < 1000
    assert not CONTROL.search(said), repr(said)
    return said


class TestCaseFiles:
    TEXTS = (
        f"seed = {'9' * 5000}",
        f"seed = 0x{'f' * 5000}",
        "batch = 1000000000000000000000000",
        "samples = 1000000000000",
        f"hidden = [{'2, ' * 3000}]",
        "hidden = [true]",
        f"hidden = {'[' * 2000}{']' * 2000}",
        f"lr = {'[' * 200}1{']' * 200}",
        f"{'a.' * 9_000}a = 1",
        f"data = '{'x' * 200_000}'",
        'data = "\\u001b[2J"',
        'target = "\\u202e"',
        '"\\u001b[2J" = 1',
        "hidden = {a = 1}",
        "seed = 1979-05-27",
    )
    LARGE = ("hidden = [1000000000000000000]", "hidden = [1000000, 1000000]")
    GRIDS = (f"repeats = {'9' * 400}", "repeats = 1e30", "repeats = 60000000")

    @pytest.mark.parametrize(
        ("option", "text"),
        [
            *(("--case", text) for text in (*TEXTS, *LARGE)),
            *(("--grid", text) for text in (*TEXTS, *GRIDS)),
        ],
        ids=range(2 * len(TEXTS) + len(LARGE) + len(GRIDS)),
    )
    def test_are_refused(self, parity: Parity, option: str, text: str) -> None:
        Path("mine.toml").write_text(f"steps = 1\n{text}\n")
        one_line(parity("check", option, "mine.toml"))
        assert [p.name for p in Path().iterdir()] == ["mine.toml"]

    def test_that_never_end(self, parity: Parity) -> None:
        one_line(parity("check", "--case", "/dev/zero"))


def trace_with_nodes(**tensors: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """a = relu(z), or a = linear(z, W, b) if there is a W."""
    inputs = ["z", "W", "b"] if "W" in tensors else ["z"]
    node = {"operation": "linear" if "W" in tensors else "relu", "inputs": inputs, "outputs": ["a"]}
    said = {"format": "torch-parity trace", "version": "1", "nodes": json.dumps([node])}
    named = {("made/" if name == "a" else "given/") + name: t for name, t in tensors.items()}
    return named, said


def deflated(content: bytes) -> bytes:
    """The archive, compressed: zeros become a thousand times smaller."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as plain,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    return packed.getvalue()


class TestMemory:
    def test_a_bomb_is_refused_by_what_it_declares(self, parity: Parity) -> None:
        zeros = np.zeros((4_000_000,))
        bomb = deflated(as_npz(*trace_with_nodes(z=zeros, a=zeros)))
        assert len(bomb) < 100_000
        for name in ("a.npz", "b.npz"):
            Path(name).write_bytes(bomb)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        said = one_line(parity("diff", "a.npz", "b.npz", "--memory", "0.5"))
        assert "--memory" in said
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "kilobytes"

    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory on Linux only")
    def test_an_operation_that_makes_far_more_than_it_takes(self, parity: Parity) -> None:
        """[30000, 1] times [1, 30000]: 7 GB from 700 KB."""
        column = np.ones((30_000, 1))
        tensors = trace_with_nodes(z=column, W=column, b=column[:, 0], a=np.ones(1))
        for name in ("a", "b"):
            Path(name).write_bytes(as_safetensors(*tensors))
        limits = resource.getrlimit(resource.RLIMIT_AS)
        said = one_line(parity("diff", "a", "b", "--memory", "0.5"))
        assert "--memory" in said
        assert resource.getrlimit(resource.RLIMIT_AS) == limits

    def test_data_that_unpack_to_more_than_the_memory(
        self, parity: Parity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bomb = deflated(as_npz({"x": np.zeros((1000, 100)), "y": np.zeros(1000)}))
        Path("mine.npz").write_bytes(bomb)
        monkeypatch.setattr(user_npz, "of_this_machine", lambda: 1e6)
        said = one_line(parity("check", "--data", "mine.npz", "--target", "y"))
        assert "mine.npz declares arrays of" in said

    def test_a_tensor_of_one_file_is_not_read(self, tmp_path: Path) -> None:
        """2 GB by its header, on a disk that keeps no zeros."""
        header = {"t": {"dtype": "F64", "shape": [2**28], "data_offsets": [0, 2**31]}}
        header["u"] = {"dtype": "F64", "shape": [1], "data_offsets": [2**31, 2**31 + 8]}
        text = json.dumps(header).encode()
        with (tmp_path / "a").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + 2**31 + 8)
        (tmp_path / "b").write_bytes(as_safetensors({"u": np.zeros(1)}))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        report = diff(tmp_path / "a", tmp_path / "b")
        assert [d.verdict for d in report.judgement.differences] == ["no torch", "match"]
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "kilobytes"

    def test_of_thousands_of_tensors_the_first_are_shown(self, parity: Parity) -> None:
        """A terminal takes a millisecond for each row of a table."""
        names = {f"t{i}": np.zeros(0) for i in range(1500)}
        for name in ("a", "b"):
            Path(name).write_bytes(as_safetensors(names))
        ended = parity("diff", "a", "b")
        assert ended.status == 1
        assert len(ended.out.splitlines()) < 530
        assert "1,000 more; --json has all" in ended.out


class TestEscapes:
    """What a file says is printed without its control characters."""

    def test_names_of_columns(self, parity: Parity) -> None:
        Path("mine.csv").write_text(f"a,{ESCAPE}b,y\n1,x,0\n2,3,1\n")
        one_line(parity("check", "--data", "mine.csv", "--target", "y"))
        one_line(parity("check", "--data", "mine.csv", "--target", "z"))

    def test_names_of_arrays(self, parity: Parity) -> None:
        np.savez("mine.npz", **{f"{ESCAPE}x": np.ones((9, 2)), "y": np.ones(3)})
        one_line(parity("check", "--data", "mine.npz", "--target", "y"))

    @pytest.mark.parametrize(
        "args",
        [
            ("diff", f"{ESCAPE}a.npz", "b.npz"),
            ("diff", "a.npz", "b.npz", "--ignore", f"{ESCAPE}*"),
            ("check", "--data", f"{ESCAPE}.csv"),
            ("check", "--grid", "\u202elmot.toml"),
            ("report", f"{ESCAPE}"),
            ("model", f"{ESCAPE}.py:m"),
            ("diff", os.fsdecode(b"\xff.npz"), "b.npz"),
        ],
    )
    def test_arguments(self, parity: Parity, args: tuple[str, ...]) -> None:
        one_line(parity(*args))

    def test_a_folder_beside_the_runs(self, parity: Parity) -> None:
        Path(f"runs/{ESCAPE}").mkdir(parents=True)
        Path("runs/a").mkdir()
        assert "known: a" in one_line(parity("report", "b"))

    def test_names_with_blanks_in_any_script_are_fine(self, parity: Parity) -> None:
        """Such as macOS gives its screenshots: blanks that Python does not call printable."""
        Path("数据\u202f1.csv").write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(20)))
        options = ("--hidden", "2", "--steps", "1")
        assert parity("check", "--data", "数据\u202f1.csv", "--target", "y", *options).status == 0


def test_numpys_advice_to_allow_pickles_is_not_repeated(parity: Parity) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }" + b" " * 20_000 + b"\n"
    array = b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + bytes(8)
    for name in ("a.npz", "b.npz"):
        with zipfile.ZipFile(name, "w") as archive:
            archive.writestr("z.npy", array)
            archive.writestr("y.npy", array)
    for args in (("diff", "a.npz", "b.npz"), ("check", "--data", "a.npz", "--target", "y")):
        assert "allow_pickle" not in one_line(parity(*args))


def test_a_recording_is_the_same_bytes_each_time(parity: Parity) -> None:
    """The metadata have no order of their own."""
    for name in "abcd":
        options = ("--data", "moons", "--samples", "20", "--hidden", "2", "--step", "1")
        assert parity("record", *options, "--out", name).status == 0
    assert len({Path(name).read_bytes() for name in "abcd"}) == 1
    assert parity("diff", "a", "b").status == 0


def test_a_mistake_of_the_program_is_no_fail(
    parity: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own status for a traceback is 1, as that of a FAIL."""

    def broken(**_: object) -> None:
        raise RuntimeError(f"broken {ESCAPE}")

    monkeypatch.setattr(cli.check, "load_case", lambda *_, **__: broken())
    ended = parity("check")
    assert ended.status == cli.INTERNAL
    assert "there is no verdict" in ended.err
    assert ESCAPE not in ended.err


EARLY = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == during:
            os.kill(os.getpid(), signal.SIGINT)
during = sys.argv[1]
sys.meta_path.insert(0, Interrupt())
from torch_parity.compare.start import main
sys.argv[1:] = ["--help"]
main()
"""


@pytest.mark.parametrize("during", ["click", "torch_parity.compare.case"])
def test_ctrl_c_while_the_command_line_is_imported(during: str) -> None:
    command = [sys.executable, "-c", EARLY, during]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 130
    assert ended.stderr == "parity: stopped by Ctrl-C\n"
