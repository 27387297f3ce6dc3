"""N ranks as real processes: the same step as one process and as the hand-written shards; each
distributed mistake, made in the real program, named; a rank killed, and the run none the worse."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.command import parity
from tests.golden_text import Golden, masked
from torch_parity.compare.case import Case
from torch_parity.compare.commands.shard import write_shards
from torch_parity.compare.sources.ranks import RankedStep, judge_run
from torch_parity.torch_ref.distributed import job

HERE = Path(__file__).parent
SETTINGS = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
UNEVEN, EVEN = (5, 4, 3, 2), (1, 1, 1, 1)
ADAM = {"optimizer": "adam", "activation": "tanh", "l2_route": "loss", "l1": 0.2, "lr": 0.01}
SUMMED = {"optimizer": "momentum_course", "reduction": "sum", "lr": 0.001}
CORRECT = {
    **{f"ddp-{n}": (n, False, UNEVEN, {}) for n in (1, 2, 3, 4)},
    **{f"fsdp-{n}": (n, True, UNEVEN, {}) for n in (1, 2, 3, 4)},
    "even": (4, False, EVEN, {}),
    "adam": (3, False, UNEVEN, ADAM),
    "fsdp-adam": (4, True, UNEVEN, ADAM),
    "sum": (3, False, UNEVEN, SUMMED),
    "fsdp-sum": (3, True, UNEVEN, SUMMED),
    "classes": (3, False, (2, 3, 4), {"data": "digits", "hidden": (7,), "batch": 500}),
}
WRONG = {
    "mean_of_means": (UNEVEN, {}),
    "summed_over_ranks": (UNEVEN, {}),
    "not_reduced": (UNEVEN, {}),
    "penalty_on_every_rank": (UNEVEN, {}),
    "same_mask_on_every_rank": (EVEN[:3], {}),
    "overlapping_shards": (EVEN[:3], {}),
    "rate_times_ranks": (UNEVEN, {}),
    "sum_averaged_over_ranks": (UNEVEN, SUMMED),
    "penalty_in_every_loss": (UNEVEN, SUMMED),
}

pytestmark = pytest.mark.slow  # they wait for processes


def case_of(**fixed: Any) -> Case:
    choices = {"data": "moons", "samples": 75, "hidden": (5, 4), "batch": 30, "steps": 3, "p": 0.3}
    return Case(**(choices | {"bias_scale": 0.3} | fixed))  # type: ignore[arg-type]


def torchrun(ranks: int, *command: str | Path) -> str:
    """What it printed; no process of it outlives this call."""
    elastic = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    process = subprocess.Popen(
        [*elastic, f"--nproc-per-node={ranks}", *map(str, command)],
        env={**os.environ, **SETTINGS, "PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=240)
    finally:
        _end(process.pid)
    assert process.returncode == 0, said
    return said


def _end(session: int) -> None:
    """Each worker is a session of its own below torchrun's; a worker sees its agent go as well."""
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each run, all of one start of torchrun, by whichever worker of pytest-xdist
    comes first; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ranks"
    over = root / "over"
    try:
        root.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + 300
        while not over.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        return root
    try:
        start_all(root)
    finally:
        over.touch()
    return root


def start_all(root: Path) -> None:
    plan = []

    def planned(name: str, ranks: int, fsdp: bool, mistake: str | None, *case: Any) -> None:
        shares, fixed = case or (None, None)
        if shares:
            write_shards(case_of(**fixed), shares, root / name)
        plan.append({"folder": str(root / name), "ranks": ranks, "fsdp": fsdp, "mistake": mistake})

    for name, (ranks, fsdp, shares, fixed) in CORRECT.items():
        planned(name, ranks, fsdp, None, shares, fixed)
    for name, (shares, fixed) in WRONG.items():
        planned(name, 3, False, name, shares, fixed)
    long = (UNEVEN, ADAM | {"steps": 30})
    planned("undisturbed", 3, False, None, *long)
    planned("fsdp-undisturbed", 3, True, None, *long)
    planned("fsdp-resumed", 3, True, "stop at 25", *long)
    planned("fsdp-resumed", 3, True, "damaged checkpoint")
    planned("fewer", 4, False, "stop at 25", *long)
    planned("fewer", 2, True, None)
    (root / "runs.json").write_text(json.dumps(plan))
    torchrun(4, HERE / "ranks_at_work.py", root / "runs.json")


@pytest.mark.parametrize(("name", "status"), [("adam", 0), ("mean_of_means", 1)])
def test_the_command_shows_what_the_ranks_did(
    name: str,
    status: int,
    runs: Path,
    golden: Golden,
) -> None:
    ended = parity("ranks", str(runs / name))
    assert ended.status == status
    verdict = ended.out.index("FAIL" if status else "PASS")
    golden.section("ranks", masked(ended.out[verdict:]))


def steps_of(folder: Path) -> list[RankedStep]:
    return list(judge_run(folder))


@pytest.mark.parametrize("name", CORRECT)
def test_ranks_one_process_and_the_shards_by_hand_take_the_same_step(name: str, runs: Path) -> None:
    """Every tensor of every rank, by the judge and by a plain comparison with 1e-12."""
    ranks = CORRECT[name][0]
    steps = steps_of(runs / name)
    assert [(s.step, s.ranks) for s in steps] == [(1, ranks), (2, ranks), (3, ranks)]
    for s in steps:
        assert s.by_hand.passed, s.by_hand.verdict
        assert s.one_process.passed, s.one_process.verdict
        for report in (s.by_hand, s.one_process):
            assert max(d.relative for d in report.judgement.differences) < 1e-12, report.verdict
        seen = {d.name for d in s.by_hand.judgement.differences}
        for rank in range(ranks):
            for tensor in ("mask1", "h1", "dz2", "dW1_own", "db2_own", "dW1_loss", "dW1", "vW1"):
                assert f"{tensor}_r{rank}" in seen
        assert {"W1", "dW1_loss", "loss", "mask1"} <= {
            d.name.removeprefix("given ") for d in s.one_process.judgement.differences
        }


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_in_the_real_program_is_named(name: str, runs: Path) -> None:
    last = steps_of(runs / name)[-1]
    cause = "penalty_on_every_rank" if name == "penalty_in_every_loss" else name
    assert last.step == 3
    assert not last.passed
    judgement = last.by_hand.judgement
    assert judgement.wrong_sides == ("torch",)
    assert judgement.diagnoses["torch"].names == (frozenset({cause}),), last.by_hand.verdict


def test_a_killed_rank_changes_nothing(runs: Path, tmp_path: Path) -> None:
    """SIGKILL in step 25, after the checkpoint of step 20: torchrun starts the ranks again."""
    folder = tmp_path / "killed"
    write_shards(case_of(**ADAM, steps=30), UNEVEN, folder)
    said = torchrun(
        3, "--max-restarts=1", HERE / "rank_that_dies.py", folder, "--every=10", "--traces=3"
    )
    assert (tmp_path / "rank-0-killed").exists(), said
    assert_same_end(folder, runs / "undisturbed")
    assert curves(folder) == curves(runs / "undisturbed")
    kept = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert kept == ["step-20", "step-20.json", "step-30", "step-30.json"]


def test_fsdp_resumes_as_if_it_had_not_stopped(runs: Path) -> None:
    """From step 10, since the checkpoint of step 20 is damaged."""
    assert_same_end(runs / "fsdp-resumed", runs / "fsdp-undisturbed")
    assert curves(runs / "fsdp-resumed") == curves(runs / "fsdp-undisturbed")


def test_fewer_ranks_go_on_where_more_have_stopped(runs: Path) -> None:
    """Four with DDP to step 20, then two with FSDP2: equal but for rounding."""
    one, other = (load_file(runs / n / "final.safetensors") for n in ("fewer", "undisturbed"))
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-12, err_msg=name)
    assert {tag: list(at) for tag, at in curves(runs / "fewer").items()} == {
        tag: list(at) for tag, at in curves(runs / "undisturbed").items()
    }


def assert_same_end(a: Path, b: Path) -> None:
    one, other = (load_file(folder / "final.safetensors") for folder in (a, b))
    assert list(one) == list(other)
    assert len(one) == 24
    for name in one:
        assert np.array_equal(one[name], other[name]), name


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows; a step twice, or none, fails here."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    shown = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert "loss/batch" in shown
    for tag, points in shown.items():
        assert [p.step for p in points] == list(range(1, 31)), tag
    return {tag: {p.step: p.value for p in points} for tag, points in shown.items()}


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_every_row_is_used_once_an_epoch_whatever_the_ranks(world: int, runs: Path) -> None:
    plan = job.read(runs / "ddp-1")
    for step in range(1, plan.steps_per_epoch + 1):
        cuts = plan.cuts(step, world)
        for rank in range(world):
            rows = [plan.rows_of(i, step) for i in plan.shards_of(rank, world)]
            assert cuts[rank + 1] - cuts[rank] == sum(map(len, rows)) > 0
        assert cuts[-1] <= plan.batch + len(plan.rows)
    for shard_at, count in enumerate(plan.rows):
        steps = range(1, plan.steps_per_epoch + 1)
        whole = [int(row) for step in steps for row in plan.rows_of(shard_at, step)]
        assert sorted(whole) == list(range(count))
        again = plan.rows_of(shard_at, plan.steps_per_epoch + 1).tolist()
        assert again != plan.rows_of(shard_at, 1).tolist()


def test_a_finished_rank_ends_before_python_shuts_down() -> None:
    """What it printed is not lost; nothing that would run at the end is run."""
    program = (
        "import atexit; from torch_parity.torch_ref.distributed.train import leave; "
        "atexit.register(print, 'shut down'); print('done'); leave()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
