"""The sharded step by hand against numbers from elsewhere, and the commands on bad input."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.command import parity
from tests.test_causes import third_step
from torch_parity import manual
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.commands.faults import demonstrate
from torch_parity.compare.commands.shard import write_shards
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.sources.recorded import Recorded, record_sharded

ROWS = (4, 1, 2)


def sharded(rows: tuple[int, ...] = ROWS) -> Recorded:
    whole = third_step()
    x, y = (np.resize(whole.start[n], (sum(rows), *whole.start[n].shape[1:])) for n in "xy")
    return record_sharded(whole.pair, x, y, rows, count=3)[-1]


def test_the_weights_are_those_of_a_mean_over_all_rows() -> None:
    """In fractions, row by row: no plain mean of the ranks' means comes to this."""
    values = [Fraction(n) for n in (3, -1, 4, 1, 5, -9, 2)]
    parts = [values[:4], values[4:5], values[5:]]
    means = [np.array(float(sum(part) / len(part))) for part in parts]
    exact = float(sum(values) / len(values))
    assert manual.all_reduce(means, manual.shares(ROWS, "mean")) == pytest.approx(exact, abs=1e-15)
    assert abs(np.mean(means) - exact) > 0.1
    assert manual.shares(ROWS, "sum") == [1.0, 1.0, 1.0]


def test_shards_by_hand_add_up_to_the_whole_batch() -> None:
    r = sharded()
    net, optimizer = r.pair.manual.net, r.pair.manual.optimizer
    params = {n: r.start[f"{n}_r0"] for n in r.pair.params}
    state = {n: r.start[f"{n}_r0"] for n in r.pair.state}
    masks = {n: r.start[n] for n in ("mask1", "mask2")}
    whole = manual.step(net, optimizer, params, state, r.start["x"], r.start["y"], masks)
    for name in ("loss", "cost", "dW1_loss", "db3", "dW2", "vb1", "W1", "b3"):
        for rank in range(len(ROWS)):
            np.testing.assert_allclose(r.manual[f"{name}_r{rank}"], whole[name], rtol=1e-13)


def test_one_rank_that_parts_from_the_others_is_seen() -> None:
    """After an all-reduce that one rank has missed, its parameters are its own."""
    r = sharded()
    wrong = {**r.torch, "dW1_loss_r1": r.torch["dW1_own_r1"]}
    found = judge(r.nodes, r.start, r.manual, wrong)
    assert found.wrong_sides == ("torch",)
    assert "dW1_loss_r1" in found.wrong["torch"]


def test_causes_of_many_ranks_name_nothing_in_one_process() -> None:
    """A doubled lambda there is a doubled lambda, whatever two ranks might have done."""
    found = demonstrate(CATALOGUE["lambda_doubled"], "torch").judgement
    assert found.diagnoses["torch"].names == (frozenset({"lambda_doubled"}),)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--shards", "0"), "expected a number such as 4, or shares as 4,3,2,2"),
        (("--shards", "3,x"), "--shards is '3,x'"),
        (("--shards", "99,1", "--batch", "5"), "the smallest shard has 3 of 320 rows"),
        (("--shards", "400"), "the smallest shard has"),
    ],
)
def test_shards_that_cannot_be_are_bad_input(
    options: tuple[str, ...],
    said: str,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    ended = parity("shard", "--data", "moons", *options, "--out", str(out))
    assert ended.status == 2
    assert said in ended.err
    assert not out.exists()


def test_a_folder_in_use_is_not_written_to(tmp_path: Path) -> None:
    ended = parity("shard", "--data", "moons", "--out", str(tmp_path / "a"))
    assert ended.status == 0
    start = f"-m torch_parity.torch_ref.distributed {tmp_path / 'a'}"
    assert start in ended.out.replace("\n", "")
    ended = parity("shard", "--data", "moons", "--out", str(tmp_path / "a"))
    assert ended.status == 2
    assert "is not empty" in ended.err


def test_ranks_without_a_job_or_traces_are_bad_input(tmp_path: Path) -> None:
    ended = parity("ranks", str(tmp_path))
    assert ended.status == 2
    assert "holds no job.json" in ended.err
    write_shards(Case(data="moons"), (2, 1), tmp_path / "a")
    ended = parity("ranks", str(tmp_path / "a"))
    assert ended.status == 2
    assert "holds no traces" in ended.err
    write_shards(Case(data="moons", lr=0.3), (2, 1), tmp_path / "b")
    shutil.copy(tmp_path / "b" / "case.toml", tmp_path / "a")
    ended = parity("ranks", str(tmp_path / "a"))
    assert ended.status == 2
    assert "job.json does not belong to case.toml" in ended.err
