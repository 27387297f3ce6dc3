"""--device: refused where there is no GPU; where there is one, judged as on the CPU."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.command import Ended, parity, refusal
from tests.drawn import case_and_data
from torch_parity.compare import data, devices
from torch_parity.compare.bounds.precision import widened
from torch_parity.compare.case import load
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.runs.training import State, Training
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import record

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

CASE = ["--data", "digits", "--hidden", "9,5", "--activation", "tanh", "--p", "0.3"]


def cli(*args: str) -> Ended:
    return parity(*args)


@pytest.mark.parametrize(
    ("name", "gpus", "says"),
    [
        ("cuda", 0, "device is 'cuda': torch finds no GPU on this machine; use --device cpu"),
        ("cuda:2", 2, "device is 'cuda:2': torch finds 2 GPUs, cuda:0 to cuda:1 on this machine"),
    ],
)
def test_a_gpu_that_is_not_there_is_bad_input(
    name: str, gpus: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    done = cli("check", *CASE, "--device", name)
    assert says in refusal(done)


@pytest.mark.parametrize("name", ["mps", "gpu", "cuda:", "cuda:x", "CPU", "", "cuda:-1"])
def test_other_devices_are_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=f"device is '{name}': expected cpu, cuda, or cuda: and"):
        load(device=name)


def test_gradients_are_checked_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "resolve_device", lambda name: torch.device("cpu"))
    monkeypatch.setattr(pair, "resolve_device", lambda name: torch.device("cpu"))
    done = cli("gradcheck", *CASE, "--device", "cuda")
    assert "leave --device cuda out" in refusal(done)


@gpu
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_step_on_the_gpu_is_right(dtype: str, optimizer: str) -> None:
    if (dtype, optimizer) == ("float16", "adam"):
        pytest.skip("refused")
    given = ["--device", "cuda", "--dtype", dtype, "--optimizer", optimizer]
    done = cli("check", *CASE, *given, "--json")
    assert done.status == 0, done.out
    found = json.loads(done.out)
    assert all(r["use"] <= 1 for side in found["replays"].values() for r in side)


@gpu
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_the_mask_is_recovered_on_the_gpu(dtype: str) -> None:
    """What nn.Dropout let through, without a ReLU whose zeros would hide it."""
    torch.manual_seed(3)
    case, drawn = case_and_data(
        5, hidden=(40, 30), activation="identity", p=0.3, loss="cross_entropy", output="identity",
        optimizer="sgd", dtype=dtype, device="cuda", batch=50,
    )  # fmt: skip
    built = pair.build(case, drawn)
    x, y = drawn.x_train, built.targets.y_train
    for _ in range(3):
        by_torch, masks = built.torch.step(x, y)
        for layer in (1, 2):
            mask, h = widened(masks[f"mask{layer}"]), widened(by_torch[f"h{layer}"])
            assert 0 < np.count_nonzero(mask) < mask.size
            assert np.array_equal(mask == 0, h == 0)


@pytest.fixture
def tf32() -> Iterator[None]:
    was = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(was)


@gpu
@pytest.mark.usefixtures("tf32")
def test_tf32_is_named() -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    torch.manual_seed(4)
    case, drawn = case_and_data(
        31, hidden=(64, 32), activation="tanh", loss="cross_entropy", output="identity", p=0.3,
        optimizer="momentum", dtype="float32", device="cuda", batch=64,
    )  # fmt: skip
    built = pair.build(case, drawn)
    r = record(built, drawn.x_train, built.targets.y_train, 3)[-1]
    j = judge(r.nodes, r.start, r.manual, r.torch, always_replay=True)
    assert j.wrong_sides == ("torch",)
    assert frozenset({"tf32"}) in j.diagnoses["torch"].names, j.diagnoses["torch"]


@gpu
def test_a_training_on_the_gpu_goes_on_from_its_state(tmp_path: Path) -> None:
    """Its generator draws the masks, so its state is a part of what is stored."""
    case = load(data="moons", samples=90, hidden="5,4", p=0.3, steps=8, device="cuda")
    loaded = data.load(case)

    def last(start: State | None, upto: int) -> State:
        training = Training(case, loaded, pair.build(case, loaded), start=start)
        for taken in training:
            if taken.step == upto:
                break
        return training.state()

    whole, rest = last(None, 8), last(last(None, 5), 8)
    assert whole.generator.tobytes() == rest.generator.tobytes()
    for name, p in whole.torch.params.items():
        assert p.tobytes() == rest.torch.params[name].tobytes(), name
