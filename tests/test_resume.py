"""A run that was stopped and resumed ends with the same bits: parameters, optimizer state, masks,
curves and report. For a run that was killed: test_killed.py."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import Ended, parity, refusal
from tests.golden_text import Golden, masked, verdict
from tests.runs_made import left, points, stop_after
from torch_parity.compare.commands import resume, train
from torch_parity.compare.runs import atomic, checkpoint
from torch_parity.compare.runs.checkpoint import Checkpoint
from torch_parity.compare.runs.lock import RunLock
from torch_parity.compare.show.train_dashboard import TrainDashboard, moments

STEPS = 30
CASE = ["--data", "moons", "--samples", "60", "--hidden", "5,4", "--steps", str(STEPS)]
CASE += ["--batch", "16", "--log-every", "7", "--optimizer", "adam", "--p", "0.3", "--lr", "0.02"]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "STORE_EVERY", 10)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not stopped."""
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "STORE_EVERY", 10)
        assert call(root, *CASE, "--name", "a").status == 0
    return root / "a"


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "STORE_EVERY", 10)
        stop_after(23, patch)
        assert call(root, *CASE, "--name", "a").status == 130
    return root / "a"


@pytest.fixture
def stopped(stopped_once: Path, tmp_path: Path) -> Path:
    """The same run, stopped after step 23: checkpoints 20 and 23."""
    return shutil.copytree(stopped_once, tmp_path / "a")


def call(root: Path, *args: str) -> Ended:
    return parity("train", *args, "--runs", str(root))


def refused(root: Path, *args: str) -> str:
    return refusal(call(root, *args))


def test_the_end_is_the_same(whole: Path, stopped: Path, golden: Golden) -> None:
    result = call(stopped.parent, "--resume", "a")
    assert result.status == 0, result.out
    golden.section("resume", masked(result.out))
    assert left(stopped) == left(whole)


EVALUATED = [1, 7, 14, 21, 28, 30]
SCHEDULES = {
    **dict.fromkeys(("weights", "gradients", "activations", "dead_units", "saturated"), EVALUATED),
    **{tag: [0] for tag in ("case", "_hparams_", "custom_scalars__config__")},
    **{tag: [STEPS] for tag in ("confusion", "report")},
    "decision boundary": sorted(moments(STEPS, 7)),
}


def schedule(tag: str) -> list[int]:
    """Of a curve."""
    return EVALUATED if tag.endswith(("/train", "/dev")) else list(range(1, STEPS + 1))


def test_a_point_of_every_step_once(whole: Path) -> None:
    for run, found in points(whole).items():
        tags = {tag for _, tag, _ in found}
        assert tags, run
        for tag in tags:
            steps = [step for step, t, _ in found if t == tag]
            assert steps == SCHEDULES.get(tag.partition("/")[0], schedule(tag)), (run, tag)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_what_a_stopped_run_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int, golden: Golden
) -> None:
    before = signal.getsignal(number)
    stop_after(9, monkeypatch, number)
    result = call(tmp_path, *CASE, "--name", "a")
    assert result.status == status
    golden.section("resume", verdict(result.out))
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert (summary["passed"], summary["interrupted"]) == (False, True)
    assert (summary["steps"], summary["planned"]) == (9, 30)
    assert max(checkpoint.stored(tmp_path / "a/checkpoints")).stem == "000000009"
    assert signal.getsignal(number) is before


def test_a_stop_with_the_last_step_is_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(STEPS, monkeypatch)
    result = call(tmp_path, *CASE, "--name", "a")
    assert result.status == 0
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert (summary["passed"], summary["interrupted"]) == (True, False)


def test_stopped_three_times(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = [*CASE, "--name", "a"]
    for step in (1, 10, 29):
        with monkeypatch.context() as patch:
            stop_after(step, patch)
            assert call(tmp_path, *args).status == 130
        args = ["--resume", "a"]
    assert call(tmp_path, *args).status == 0
    assert left(tmp_path / "a") == left(whole)


def test_gradient_checks_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Golden
) -> None:
    args = [*CASE, "--gradcheck", "4"]
    assert call(tmp_path, *args, "--name", "whole").status == 0
    with monkeypatch.context() as patch:
        stop_after(11, patch)
        assert call(tmp_path, *args, "--name", "a").status == 130
    golden.section("resume", refused(tmp_path, "--resume", "a", "--gradcheck", "5"))
    assert call(tmp_path, "--resume", "a").status == 0
    records = [json.loads((tmp_path / n / "gradcheck.json").read_text()) for n in ("whole", "a")]
    for record in records:
        del record["seconds"]
    assert records[0] == records[1]
    assert records[0]["steps"] == list(range(4, STEPS + 1, 4))


def test_a_failure_before_the_stop_is_still_one_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's update is wrong in step 5 only; the run is stopped in step 12."""
    from torch_parity.compare.sources.pair import TorchSide

    step, calls = TorchSide.step, []

    def wrong_once(self: TorchSide, x: Any, y: Any) -> Any:
        trace, masks = step(self, x, y)
        calls.append(1)
        return (trace | {"W1": trace["W1"] * 1.01} if len(calls) == 5 else trace), masks

    with monkeypatch.context() as patch:
        patch.setattr(TorchSide, "step", wrong_once)
        stop_after(12, patch)
        result = call(tmp_path, *CASE, "--name", "a")
    assert result.status == 130
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert (summary["interrupted"], summary["steps"]) == (True, 12)
    first = summary["failure"]
    assert (first["step"], first["difference"]["name"]) == (5, "W1")
    result = call(tmp_path, "--resume", "a")
    assert result.status == 1
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert summary["failure"] == first


class TestDamage:
    @staticmethod
    def newest(folder: Path) -> Path:
        return checkpoint.stored(folder / "checkpoints")[-1]

    @pytest.mark.parametrize("suffix", [".json", ".safetensors"])
    @pytest.mark.parametrize("how", ["cut short", "a bit", "missing"])
    def test_the_one_before_is_used(
        self, whole: Path, stopped: Path, suffix: str, how: str
    ) -> None:
        path = self.newest(stopped).with_suffix(suffix)
        content = bytearray(path.read_bytes())
        if how == "missing":
            path.unlink()
        elif how == "cut short":
            path.write_bytes(content[: len(content) // 2])
        else:
            content[len(content) // 2] ^= 4
            path.write_bytes(content)
        result = call(stopped.parent, "--resume", "a")
        assert result.status == 0, result.out
        named = f"000000023{suffix}" in result.out.replace("\n", "")
        assert named == ((suffix, how) != (".json", "missing"))  # then it was never finished
        assert left(stopped) == left(whole)

    def test_both_are_refused_by_name(self, stopped: Path, golden: Golden) -> None:
        for path in checkpoint.stored(stopped / "checkpoints"):
            path.with_suffix(".safetensors").write_bytes(b"")
        said = refused(stopped.parent, "--resume", "a")
        golden.section("resume", said)

    def test_none_is_left(self, stopped: Path, golden: Golden) -> None:
        for path in checkpoint.stored(stopped / "checkpoints"):
            checkpoint.delete(path)
        golden.section("resume", refused(stopped.parent, "--resume", "a"))

    def test_of_the_layout_before_the_perturbed_copy_had_its_name(
        self, stopped: Path, golden: Golden
    ) -> None:
        for path in checkpoint.stored(stopped / "checkpoints"):
            old = checkpoint.load(path)
            record = {k.replace("perturbation_rng", "nudges"): v for k, v in old.record.items()}
            tensors = {n.replace("perturbed_copy/", "twin/"): a for n, a in old.tensors.items()}
            checkpoint.store(path.parent, Checkpoint(old.step, tensors, record))
        golden.section("resume", refused(stopped.parent, "--resume", "a"))

    def test_another_case(self, stopped: Path, golden: Golden) -> None:
        """case.toml was edited: the checkpoint is refused."""
        toml = stopped / "case.toml"
        toml.write_text(toml.read_text().replace("lr = 0.02", "lr = 0.03"))
        golden.section("resume", refused(stopped.parent, "--resume", "a"))

    def test_curves_that_were_cut(self, stopped: Path, golden: Golden) -> None:
        log = stopped / "torch/events.out.tfevents.0"
        log.write_bytes(log.read_bytes()[:100])
        golden.section("resume", masked(refused(stopped.parent, "--resume", "a")))

    @pytest.mark.parametrize("side", ["manual", "torch", "perturbed_copy", "parity"])
    def test_curves_that_were_changed(self, stopped: Path, side: str, golden: Golden) -> None:
        """A flipped bit in the part that both checkpoints cover: refused by name."""
        log = stopped / side / "events.out.tfevents.0"
        content = bytearray(log.read_bytes())
        content[len(content) // 3] ^= 4
        log.write_bytes(content)
        golden.section("resume", masked(refused(stopped.parent, "--resume", "a")))

    def test_curves_that_were_changed_after_a_checkpoint(self, whole: Path, stopped: Path) -> None:
        """The run resumes from the checkpoint before the damage; later bytes are ignored."""
        log = stopped / "manual/events.out.tfevents.0"
        content = bytearray(log.read_bytes())
        content[-20] ^= 4
        log.write_bytes(content + b"torn")
        result = call(stopped.parent, "--resume", "a")
        assert result.status == 0, result.out
        assert left(stopped) == left(whole)

    def test_a_record_that_is_gone(self, stopped: Path, golden: Golden) -> None:
        """Every remaining record has the right checksum, and the file has the old length."""
        log = stopped / "perturbed_copy/events.out.tfevents.0"
        content = log.read_bytes()
        first = 16 + int.from_bytes(content[:8], "little")
        second = 16 + int.from_bytes(content[first : first + 8], "little")
        log.write_bytes(content[:first] + content[first + second :] + content[-second:])
        assert log.stat().st_size == len(content)
        golden.section("resume", masked(refused(stopped.parent, "--resume", "a")))

    def test_other_data(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Golden
    ) -> None:
        rng = np.random.default_rng(4)
        mine = {"x": rng.normal(size=(20, 3)), "y": np.arange(20) % 2}
        np.savez(tmp_path / "mine.npz", **mine)
        args = [
            "--data",
            str(tmp_path / "mine.npz"),
            "--target",
            "y",
            "--hidden",
            "3",
            "--steps",
            "9",
        ]
        with monkeypatch.context() as patch:
            stop_after(4, patch)
            assert call(tmp_path / "runs", *args).status == 130
        mine["x"][2, 1] += 1e-12
        np.savez(tmp_path / "mine.npz", **mine)
        golden.section("resume", refused(tmp_path / "runs", "--resume", "mine"))


class TestRefused:
    @pytest.mark.parametrize(
        ("option", "words"),
        [
            (("--lr", "0.1"), "--lr is 0.1, but run 'a' began with 0.02"),
            (("--hidden", "5"), "--hidden is (5,), but run 'a' began with (5, 4)"),
            (("--steps", "40"), "--steps is 40, but run 'a' began with 30"),
            (("--no-standardize",), "--standardize is False, but run 'a' began with True"),
            (("--l2-route", "loss"), "--l2-route is 'loss', but"),
            (("--gradcheck", "2"), "--gradcheck is 2, but run 'a' began with None"),
            (("--name", "b"), "leave --name out"),
        ],
    )
    def test_a_changed_case(self, stopped: Path, option: tuple[str, ...], words: str) -> None:
        before = {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()}
        assert words in refused(stopped.parent, "--resume", "a", *option)
        assert {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()} == before

    def test_the_same_case_said_again(self, stopped: Path) -> None:
        assert call(stopped.parent, "--resume", "a", *CASE).status == 0

    def test_a_finished_run(self, whole: Path, golden: Golden) -> None:
        before = left(whole)
        golden.section("resume", refused(whole.parent, "--resume", "a"))
        assert left(whole) == before

    def test_a_run_that_is_not_there(self, stopped: Path, golden: Golden) -> None:
        golden.section("resume", refused(stopped.parent, "--resume", "b"))

    def test_a_folder_that_is_no_run(self, tmp_path: Path, golden: Golden) -> None:
        (tmp_path / "a").mkdir()
        said = refused(tmp_path, "--resume", "a")
        golden.section("resume", said)


def holds(folder: Path) -> dict[Path, bytes]:
    """Every file except the lock, which is empty."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "lock")
    return {p: p.read_bytes() for p in files}


class Killed(BaseException):
    """As if the process were killed: no code catches it."""


# what the process was about to do when it was killed, and how often it had done that before
MOMENTS: dict[str, tuple[Any, str, int]] = {
    "folder made": (RunLock, "__enter__", 0),
    "folder locked": (atomic, "write", 0),
    "case written": (TrainDashboard, "begin", 0),
    "logs begun": (atomic, "write", 1),
    "first checkpoint half written": (atomic, "write", 2),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_before_the_first_checkpoint(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """--resume and a second run of that name are refused with a remedy, and both leave the folder
    unchanged."""
    owner, name, before = MOMENTS[moment]
    original, calls = getattr(owner, name), []

    def killed(*args: Any) -> Any:
        calls.append(1)
        if len(calls) > before:
            raise Killed
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(Killed):
            call(tmp_path, *CASE, "--name", "a")
    folder = tmp_path / "a"
    held = holds(folder)
    said = refused(tmp_path, "--resume", "a")
    if (folder / "case.toml").exists():
        assert f"train again with  parity train --case {folder / 'case.toml'}" in said
    else:
        assert "stopped before the first step" in said
    assert "run 'a' exists" in refused(tmp_path, *CASE, "--name", "a")
    assert holds(folder) == held
    if moment == "first checkpoint half written":
        assert call(tmp_path, "--case", str(folder / "case.toml"), "--name", "b").status == 0
        assert left(tmp_path / "b") == left(whole)


def test_another_version_is_said_and_not_refused(
    whole: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = resume.made_with()
    for module in (train, resume):
        monkeypatch.setattr(module, "made_with", lambda: now | {"numpy": "9.9"})
    result = call(stopped.parent, "--resume", "a")
    assert result.status == 0, result.out
    said = f"after step 23 this run was resumed with numpy {np.__version__} -> 9.9"
    assert said in result.out.replace("\n", " ")
    summary = json.loads((stopped / "summary.json").read_text())
    (note,) = summary["notes"]
    assert said in note
    assert summary["made_with"]["numpy"] == "9.9"
    assert json.loads((whole / "summary.json").read_text())["notes"] == []
