"""A residual network on both sides: judged, trained, and its own mistakes named."""

import itertools
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE, sums
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.cli import parity
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import SIDES, Side, judge, judge_traces
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.torch_ref.models.residual import Residual
from torch_parity.torch_ref.models.step import step

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu")


def case_of(seed: int, **fixed: Any) -> Case:
    rng = np.random.default_rng(seed)
    width, *inner = (int(n) for n in rng.integers(3, 9, int(rng.integers(2, 5))))
    choices: dict[str, Any] = {
        "model": "residual",
        "data": "moons",
        "samples": 40,
        "batch": int(rng.integers(5, 20)),
        "hidden": (width, *inner),
        "activation": str(rng.choice(ACTIVATIONS)),
        "approximate": str(rng.choice(["none", "tanh"])),
        "branch_scale": float(rng.uniform(0.3, 2)),
        "negative_slope": 0.2,
        "p": float(rng.choice([0.0, 0.3])),
        "l2": float(rng.choice([0.0, 0.7])),
        "l1": float(rng.choice([0.0, 0.2])),
        "l2_route": str(rng.choice(["weight_decay", "loss"])),
        "optimizer": str(rng.choice(["sgd", "momentum", "momentum_course", "adam"])),
        "loss": str(rng.choice(["cross_entropy", "binary_cross_entropy", "mse_loss"])),
        "reduction": str(rng.choice(["mean", "sum"])),
        "bias_scale": 0.5,
        "seed": seed,
    }
    return Case(**(choices | fixed))


@cache
def third_step(case: Case) -> Recorded:
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    torch.manual_seed(case.seed)
    x, y = loaded.x_train[: case.batch], sides.targets.y_train[: case.batch]
    return record(sides, x, y, count=3)[-1]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(15))
def test_right_steps_are_right_on_both_sides(dtype: str, seed: int) -> None:
    r = third_step(case_of(seed, dtype=dtype))
    j = judge(r.nodes, r.start, r.manual, r.torch, always_replay=True)
    assert j.passed, (seed, j.root)
    made = {n for node in r.nodes for n in node.outputs if "#" not in n}
    assert set(r.manual) == set(r.torch) == made, seed
    assert all(x.use <= 1 for side in j.replays.values() for x in side)


@pytest.mark.parametrize("seed", range(100, 108))
def test_any_part_of_a_right_step_is_right(seed: int) -> None:
    r = third_step(case_of(seed))
    rng = np.random.default_rng(seed)
    kept = {n: a for n, a in r.manual.items() if rng.random() < 0.5}
    rest = {n: r.torch[n] for n in kept}
    j = judge_traces(Trace(r.start, kept, r.nodes), Trace(r.start, rest, r.nodes))
    assert j.passed, (seed, j.root)


@pytest.mark.every(4)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", [cause.name for cause in sums.CAUSES])
def test_its_own_mistakes_are_named_on_either_side(name: str, side: Side) -> None:
    named = 0
    for seed in range(200, 206):
        fixed = {"activation": "tanh", "branch_scale": 0.5, "hidden": (6, 5, 4)}
        case = case_of(seed, **fixed)
        r = third_step(case)
        known = r.known_to(side, 2 * case.batch)
        rng = np.random.default_rng(seed)
        for way in range(len(CATALOGUE[name].ways)):
            wrong = plant(CATALOGUE[name], r.nodes, known, r.trace(side), rng, way)
            assert wrong is not None, seed
            j = r.judge_instead(side, execute(wrong, known, side), 2 * case.batch)
            assert j.wrong_sides == (side,), seed
            assert frozenset({name}) in j.diagnoses[side].names, (seed, way, j.diagnoses[side])
            assert j.diagnoses[side].verdict == "unique", (seed, way, j.diagnoses[side].names)
            named += 1
    assert named >= 6


def test_the_mistakes_of_a_chain_are_named_in_it_too() -> None:
    names = ("bias_missing", "gradient_not_averaged", "keep_prob", "slope_missing",
             "lambda_doubled", "momentum_convention", "weights_transposed_backward")  # fmt: skip
    for name, side in itertools.product(names, SIDES):
        case = case_of(
            300, optimizer="momentum", p=0.3, l2=0.7, activation="tanh", hidden=(6, 6, 5),
            reduction="mean",
        )  # fmt: skip
        r = third_step(case)
        known = r.known_to(side, 2 * case.batch)
        rng = np.random.default_rng(1)
        wrong = plant(CATALOGUE[name], r.nodes, known, r.trace(side), rng)
        assert wrong is not None, name
        j = r.judge_instead(side, execute(wrong, known, side), 2 * case.batch)
        assert frozenset({name}) in j.diagnoses[side].names, (name, side, j.diagnoses[side])


def test_the_plain_torch_program_takes_the_same_step() -> None:
    """What a torch user writes, without any hook, ends at the same parameters."""
    case = case_of(7, p=0.0, l2=0.0, l1=0.0, optimizer="sgd", loss="cross_entropy")
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    sizes = (2, *case.hidden, 2)
    net = Residual(
        sizes, case.activation, "identity", 0.2, case.approximate, case.branch_scale
    ).double()
    with torch.no_grad():
        for p, ours in zip(net.parameters(), sides.params.values(), strict=True):
            p.copy_(torch.tensor(ours))
    optimizer = torch.optim.SGD(net.parameters(), lr=case.lr)
    criterion = torch.nn.CrossEntropyLoss(reduction=case.reduction)
    x, y = loaded.x_train[:9], sides.targets.y_train[:9]
    step(net, criterion, optimizer, torch.tensor(x), torch.tensor(y))
    by_hand = sides.manual.step(sides.params, sides.state, x, y, {})
    for name, p in net.named_parameters():
        np.testing.assert_allclose(p.detach().numpy(), by_hand[name], rtol=1e-12, atol=1e-14)


def test_it_trains_side_by_side_and_resumes(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--model", "residual", "--data", "moons", "--hidden", "6,5", "--steps", "20",
               "--log-every", "5", "--activation", "gelu"]  # fmt: skip
    done = CliRunner().invoke(parity, ["train", *options, "--name", "res", "--gradcheck", "10"])
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "runs/res/summary.json").read_text())
    assert (summary["passed"], summary["steps"]) == (True, 20)


@pytest.mark.parametrize("hidden", ["", "8"])
def test_a_network_without_a_block_is_bad_input(hidden: str) -> None:
    done = CliRunner().invoke(parity, ["check", "--model", "residual", "--hidden", hidden])
    assert isinstance(done.exception, InputError)
    assert "at least one block" in str(done.exception)


def test_an_unknown_model_is_bad_input() -> None:
    done = CliRunner().invoke(parity, ["check", "--model", "residul"])
    assert isinstance(done.exception, InputError)
    assert "'residual'" in str(done.exception)
