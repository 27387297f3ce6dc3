"""A run that was stopped and resumed ends with the same bits: parameters, optimizer state, masks,
curves and report. For a run that was killed: test_killed.py."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import Ended, parity, refusal
from tests.golden_text import Golden, masked, verdict
from tests.runs_made import left, points, stop_after
from torch_parity.compare import progress
from torch_parity.compare.case import load
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
    "log10_difference": [step for step in range(1, STEPS + 1) if step not in EVALUATED],  # bound
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
            if run == "parity" and tag.startswith("log10_difference/"):
                assert steps == sorted(set(steps)), "none where nothing differs"
                continue
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


STEP_LR = ("--schedule", "step_lr", "--step-size", "8", "--gamma", "0.5")
COSINE_LR = ("--schedule", "cosine_lr", "--warmup", "11")
SMALL = {  # of each model; the decay groups of its optimizer have one learning rate each
    "mlp": ("--data", "moons", "--hidden", "5,4"),
    "residual": ("--data", "moons", "--hidden", "6,5"),
    "convnet": ("--hidden", "2,3,4"),
    "resnet": ("--hidden", "2,2"),
    "char_lstm": ("--samples", "40", "--length", "6", "--hidden", "3,4"),
    "gpt": ("--samples", "40", "--length", "6", "--hidden", "4,2"),
}


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [*((model, "adamw") for model in SMALL), ("mlp", "momentum_course"), ("mlp", "sgd")],
)
@pytest.mark.parametrize("chosen", [STEP_LR, COSINE_LR], ids=["step_lr", "cosine_lr"])
def test_a_learning_rate_that_changes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chosen: tuple[str, ...],
    model: str,
    optimizer: str,
) -> None:
    """Stopped in the warm-up, then between two decays."""
    args = ["--model", model, *SMALL[model], "--optimizer", optimizer, "--lr", "0.01", "--l2", "3"]
    args += [*chosen, "--batch", "8", "--steps", "20", "--log-every", "20"]
    assert call(tmp_path, *args, "--name", "whole").status == 0
    args += ["--name", "a"]
    for step in (4, 13):
        with monkeypatch.context() as patch:
            stop_after(step, patch)
            assert call(tmp_path, *args).status == 130
        args = ["--resume", "a"]
    result = call(tmp_path, *args)
    assert result.status == 0, result.out
    assert "resuming after step 13 of 20" in result.out
    assert left(tmp_path / "a") == left(tmp_path / "whole")


@pytest.mark.parametrize(
    "edit",
    [
        lambda tensors: tensors.pop("optimizer/schedule/lr"),
        lambda tensors: tensors.update({"optimizer/schedule/lr": np.zeros(3)}),
        lambda tensors: tensors.update({"optimizer/schedule/lr": np.zeros(2, "float32")}),
        lambda tensors: tensors.update({"optimizer/schedule/t": np.zeros(2)}),
    ],
)
def test_learning_rates_that_do_not_fit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Any
) -> None:
    stop_after(4, monkeypatch)
    assert call(tmp_path, *CASE, *STEP_LR, "--name", "a").status == 130
    for path in checkpoint.stored(tmp_path / "a/checkpoints"):
        held = checkpoint.load(path)
        edit(held.tensors)
        checkpoint.store(path.parent, held)
    assert "optimizer is not that of this case" in refused(tmp_path, "--resume", "a")


def test_learning_rates_of_a_constant_one_are_refused(stopped: Path) -> None:
    for path in checkpoint.stored(stopped / "checkpoints"):
        held = checkpoint.load(path)
        held.tensors["optimizer/schedule/lr"] = np.zeros(2)
        checkpoint.store(path.parent, held)
    assert "optimizer is not that of this case" in refused(stopped.parent, "--resume", "a")


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
    from torch_parity.compare.sources.sides import TorchSide

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

    def test_curves_that_are_gone(self, whole: Path, stopped: Path) -> None:
        (stopped / "torch/events.out.tfevents.0").unlink()
        lost = self.without_curves(whole, stopped, "torch")
        assert {step for step, _, _ in lost} == {*range(24)}

    def test_curves_that_were_cut(self, whole: Path, stopped: Path) -> None:
        """Within the first step: what lies before it is kept."""
        log = stopped / "torch/events.out.tfevents.0"
        log.write_bytes(log.read_bytes()[:2500])
        lost = self.without_curves(whole, stopped, "torch")
        assert {step for step, _, _ in lost} == {*range(1, 24)}

    @pytest.mark.parametrize("side", ["torch", "parity"])
    def test_curves_that_were_changed(self, whole: Path, stopped: Path, side: str) -> None:
        """A flipped bit in the part that both checkpoints cover: one event is lost."""
        log = stopped / side / "events.out.tfevents.0"
        content = bytearray(log.read_bytes())
        content[len(content) // 3] ^= 4
        log.write_bytes(content)
        lost = self.without_curves(whole, stopped, side)
        assert len({step for step, _, _ in lost}) == 1

    def test_curves_that_were_changed_and_a_kill_before_the_next_checkpoint(
        self, whole: Path, stopped: Path
    ) -> None:
        """Steps that are taken twice are drawn once."""
        log = stopped / "torch/events.out.tfevents.0"
        content = bytearray(log.read_bytes())
        content[len(content) // 3] ^= 4
        log.write_bytes(content)
        with pytest.MonkeyPatch.context() as patch:
            write = TrainDashboard.write

            def write_or_die(self: TrainDashboard, record: Any) -> None:
                write(self, record)
                if record.step == 27:
                    raise Killed

            patch.setattr(TrainDashboard, "write", write_or_die)
            with pytest.raises(Killed):
                call(stopped.parent, "--resume", "a")
        lost = self.without_curves(whole, stopped, "torch")
        assert len({step for step, _, _ in lost}) == 1

    @staticmethod
    def without_curves(whole: Path, stopped: Path, side: str) -> list[Any]:
        """Resumed, it ends as the other, and says which curves are damaged -> the lost points."""
        result = call(stopped.parent, "--resume", "a")
        assert result.status == 0, result.out
        (note,) = json.loads((stopped / "summary.json").read_text())["notes"]
        assert f"{side}/events.out.tfevents.0" in note
        expected, found = left(whole), left(stopped)
        assert found["arrays"] == expected["arrays"]
        held, complete = points(stopped), points(whole)
        lost = [repr(p) for p in complete[side] if repr(p) not in set(map(repr, held[side]))]
        assert [repr(p) for p in complete[side] if repr(p) not in lost] == list(
            map(repr, held[side])
        )
        del held[side]
        assert all(repr(at) == repr(complete[name]) for name, at in held.items())
        return [p for p in complete[side] if repr(p) in lost]

    def test_curves_that_were_changed_after_a_checkpoint(self, whole: Path, stopped: Path) -> None:
        """The run resumes from the checkpoint before the damage; later bytes are ignored."""
        log = stopped / "manual/events.out.tfevents.0"
        content = bytearray(log.read_bytes())
        content[-20] ^= 4
        log.write_bytes(content + b"torn")
        result = call(stopped.parent, "--resume", "a")
        assert result.status == 0, result.out
        assert left(stopped) == left(whole)

    def test_a_record_that_is_gone(self, whole: Path, stopped: Path) -> None:
        """Every remaining record has the right checksum, and the file has the old length."""
        log = stopped / "perturbed_copy/events.out.tfevents.0"
        content = log.read_bytes()
        first = 16 + int.from_bytes(content[:8], "little")
        second = 16 + int.from_bytes(content[first : first + 8], "little")
        log.write_bytes(content[:first] + content[first + second :] + content[-second:])
        assert log.stat().st_size == len(content)
        assert call(stopped.parent, "--resume", "a").status == 0
        (note,) = json.loads((stopped / "summary.json").read_text())["notes"]
        assert "perturbed_copy/events.out.tfevents.0" in note
        assert left(stopped)["arrays"] == left(whole)["arrays"]

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


class TestFinished:
    def test_its_verdict_is_given_again_and_nothing_is_written(
        self, whole: Path, golden: Golden
    ) -> None:
        before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files(whole)}
        result = call(whole.parent, "--resume", "a")
        assert result.status == 0
        golden.section("resume", masked(result.out))
        assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files(whole)} == before

    @pytest.mark.parametrize(
        ("edit", "status"),
        [
            ({"passed": False, "outcome": "UNJUDGED", "unjudged": {"z1": 3}}, 3),
            (
                {
                    "passed": False,
                    "outcome": "FAIL",
                    "failure": {"step": 2, "words": ["z1: wrong"]},
                },
                1,
            ),
        ],
    )
    def test_the_status_is_that_of_the_verdict(
        self, whole: Path, tmp_path: Path, edit: dict[str, Any], status: int
    ) -> None:
        run = shutil.copytree(whole, tmp_path / "a")
        summary = json.loads((run / "summary.json").read_text())
        (run / "summary.json").write_text(json.dumps(summary | edit))
        assert call(tmp_path, "--resume", "a").status == status

    @pytest.mark.parametrize("damage", ["", "{}", '{"interrupted": false}', "cut", "gone"])
    def test_a_damaged_summary_is_made_anew(self, whole: Path, tmp_path: Path, damage: str) -> None:
        run = shutil.copytree(whole, tmp_path / "a")
        text = (run / "summary.json").read_text()
        (run / "summary.json").write_text(text[:900] if damage == "cut" else damage)
        if damage == "gone":
            (run / "summary.json").unlink()
        assert call(tmp_path, "--resume", "a").status == 0
        assert left(run) == left(whole)


class TestOfSomebodyElse:
    """A run folder that came from elsewhere."""

    LINKS = ("report.html", "lock", "summary.json", "torch/events.out.tfevents.0", "case.toml.part")

    @pytest.mark.parametrize("name", LINKS)
    @pytest.mark.parametrize("how", ["symbolic", "hard"])
    def test_nothing_is_written_through_a_link(self, stopped: Path, name: str, how: str) -> None:
        mine = stopped.parent / "mine"
        mine.write_text("mine")
        (stopped / name).unlink(missing_ok=True)
        (stopped / name).symlink_to(mine) if how == "symbolic" else (stopped / name).hardlink_to(
            mine
        )
        assert str(stopped / name) in refused(stopped.parent, "--resume", "a")
        assert str(stopped / name) in refusal(parity("report", "a", "--runs", str(stopped.parent)))
        assert mine.read_text() == "mine"

    def test_nothing_is_written_into_a_linked_folder(self, stopped: Path) -> None:
        elsewhere = stopped.parent / "elsewhere"
        (stopped / "checkpoints").rename(elsewhere)
        (stopped / "checkpoints").symlink_to(elsewhere)
        before = holds(elsewhere)
        assert str(stopped / "checkpoints") in refused(stopped.parent, "--resume", "a")
        assert holds(elsewhere) == before

    def test_a_pipe_is_refused_at_once(self, stopped: Path) -> None:
        (stopped / "summary.json").unlink()
        os.mkfifo(stopped / "summary.json")
        assert str(stopped / "summary.json") in refused(stopped.parent, "--resume", "a")

    @pytest.mark.parametrize(
        "edit",
        [
            lambda tensors, record: record["logs"].update(
                {"../../mine": {"size": 1, "checksum": 0}}
            ),
            lambda tensors, record: record["logs"].update(
                {"/events.out.tfevents.0": {"size": 1, "checksum": 0}}
            ),
            lambda tensors, record: record["logs"]["torch/events.out.tfevents.0"].update(size=-1),
            lambda tensors, record: record["perturbation_rng"].update(state=3),
            lambda tensors, record: tensors.pop("generator"),
            lambda tensors, record: tensors.update(generator=np.zeros(3)),
            lambda tensors, record: tensors.pop("manual/params/W1"),
            lambda tensors, record: tensors.update({"torch/params/W1": np.zeros((1, 1))}),
            lambda tensors, record: tensors.update({"before/W1": np.zeros((5, 2))}),
            lambda tensors, record: tensors.update({"optimizer/0/exp_avg": np.zeros(7)}),
            lambda tensors, record: tensors.update({"optimizer/x": np.zeros(7)}),
        ],
    )
    def test_a_sealed_checkpoint_that_does_not_fit_is_refused(
        self, stopped: Path, edit: Any
    ) -> None:
        """The checksums are right: names and shapes are checked all the same."""
        for path in checkpoint.stored(stopped / "checkpoints"):
            held = checkpoint.load(path)
            edit(held.tensors, held.record)
            checkpoint.store(path.parent, held)
        assert "000000023.json" in refused(stopped.parent, "--resume", "a")

    def test_other_files_beside_the_checkpoints_are_left_alone(
        self, whole: Path, stopped: Path
    ) -> None:
        """The pruning counts checkpoints only; other logs are not cut."""
        others = ["checkpoints/notes.json", "checkpoints/zzz.json", "checkpoints/1.json"]
        others += ["torch/events.out.tfevents.mine", "torch/mine.tfevents"]
        for name in others:
            (stopped / name).write_text("mine")
        assert call(stopped.parent, "--resume", "a").status == 0
        assert all((stopped / name).read_text() == "mine" for name in others)
        steps = [path.stem for path in checkpoint.stored(stopped / "checkpoints")]
        assert steps == ["000000023", "000000030"]


def files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and p.name != "lock"]


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that had 40 steps from the beginning."""
    root = tmp_path_factory.mktemp("longer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "STORE_EVERY", 10)
        assert call(root, *TestLonger.CASE, "--steps", "40", "--name", "a").status == 0
    return root / "a"


class TestLonger:
    """A finished run is trained further, as if it had had the steps from the beginning."""

    CASE = (*CASE, "--log-every", "5")  # so that the step it ended with first is evaluated anyway

    @staticmethod
    def equal_but_for_what_shows_the_case(one: Path, other: Path) -> None:
        """And the pictures at shares of the way."""
        for run in (one, other):
            assert load(run / "case.toml").steps == 40
        ends = [left(run) for run in (one, other)]
        curves = []
        for run, end in zip((one, other), ends, strict=True):
            del end["points"]
            for log in end["record"]["record"]["logs"].values():
                del log["size"]
            curves.append(
                repr(
                    {
                        name: [p for p in found if isinstance(p[2], float)]
                        for name, found in points(run).items()
                    }
                )
            )
        assert curves[0] == curves[1]
        assert ends[0] == ends[1]

    def test_a_finished_run(self, at_once: Path, tmp_path: Path) -> None:
        assert call(tmp_path, *self.CASE, "--name", "a").status == 0
        result = call(tmp_path, "--resume", "a", "--steps", "40")
        assert result.status == 0
        assert "resuming after step 30 of 40" in result.out
        self.equal_but_for_what_shows_the_case(tmp_path / "a", at_once)
        shown = [(s, c) for s, tag, c in points(tmp_path / "a")["parity"] if "case" in tag]
        assert [step for step, _ in shown] == [0, 30]
        assert b"**steps** = 40 (" in shown[-1][1]
        assert "is finished" in call(tmp_path, "--resume", "a").out

    def test_a_learning_rate_that_falls_in_steps(self, tmp_path: Path) -> None:
        """What it is in a step does not depend on the number of steps."""
        case = (*self.CASE, *STEP_LR, "--lr", "0.03")
        assert call(tmp_path, *case, "--steps", "40", "--name", "whole").status == 0
        assert call(tmp_path, *case, "--name", "a").status == 0
        assert call(tmp_path, "--resume", "a", "--steps", "40").status == 0
        self.equal_but_for_what_shows_the_case(tmp_path / "a", tmp_path / "whole")
        rates = {s: c for s, tag, c in points(tmp_path / "a")["torch"] if tag == "learning_rate"}
        expected = [0.03 / 2 ** (step // 8) for step in range(40)]
        assert [rates[step] for step in range(1, 41)] == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("moment", ["rewind", "digest", "store"])
    def test_killed_while_it_is_made_longer(
        self, at_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        assert call(tmp_path, *self.CASE, "--name", "a").status == 0

        def killed(*args: Any) -> Any:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(progress, moment, killed)
            with pytest.raises(Killed):
                call(tmp_path, "--resume", "a", "--steps", "40")
        more = ("--steps", "40") if moment == "digest" else ()  # before case.toml was written
        assert call(tmp_path, "--resume", "a", *more).status == 0
        self.equal_but_for_what_shows_the_case(tmp_path / "a", at_once)

    def test_a_run_that_was_stopped(self, stopped: Path) -> None:
        assert call(stopped.parent, "--resume", "a", "--steps", "35").status == 0
        summary = json.loads((stopped / "summary.json").read_text())
        assert (summary["steps"], summary["planned"], summary["passed"]) == (35, 35, True)

    def test_a_failure_stays_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        diverging = ("--loss", "mse_loss", "--output", "identity", "--p", "0", "--lr", "1e200")
        assert call(tmp_path, *CASE, *diverging, "--name", "a").status == 1
        assert call(tmp_path, "--resume", "a", "--steps", "40").status == 1

    def test_a_learning_rate_that_falls_to_the_end(self, tmp_path: Path) -> None:
        assert call(tmp_path, *CASE, "--schedule", "cosine_lr", "--name", "a").status == 0
        before = holds(tmp_path / "a")
        assert "cosine_lr" in refused(tmp_path, "--resume", "a", "--steps", "40")
        assert holds(tmp_path / "a") == before
        text = (tmp_path / "a/case.toml").read_text().replace("steps = 30", "steps = 40")
        (tmp_path / "a/case.toml").write_text(text)
        assert "steps is 30 there, 40 in case.toml" in refused(tmp_path, "--resume", "a")


class TestRefused:
    @pytest.mark.parametrize(
        ("option", "words"),
        [
            (("--lr", "0.1"), "--lr is 0.1, but run 'a' began with 0.02"),
            (("--hidden", "5"), "--hidden is (5,), but run 'a' began with (5, 4)"),
            (("--steps", "20"), "--steps is 20, but run 'a' began with 30"),
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

    def test_a_changed_case_of_a_finished_run(self, whole: Path) -> None:
        assert "--lr is 0.1" in refused(whole.parent, "--resume", "a", "--lr", "0.1")

    def test_a_run_that_is_not_there(self, stopped: Path, golden: Golden) -> None:
        golden.section("resume", refused(stopped.parent, "--resume", "b"))

    def test_a_folder_that_is_no_run(self, tmp_path: Path, golden: Golden) -> None:
        (tmp_path / "a").mkdir()
        said = refused(tmp_path, "--resume", "a")
        golden.section("resume", said)


def holds(folder: Path) -> dict[Path, bytes]:
    """Every file except the lock, which is empty."""
    return {p: p.read_bytes() for p in files(folder)}


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
