"""A momentum of 0 is gradient descent: torch.optim.SGD(momentum=0) keeps no buffer. Nesterov's is
refused, as torch refuses it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.command import Ended, refusal
from torch_parity.compare.case import Case
from torch_parity.compare.sources.arrays.check import check
from torch_parity.compare.sources.arrays.start import given

SMALL = ("--data", "moons", "--samples", "60", "--hidden", "4", "--batch", "8", "--momentum", "0")
BOTH = pytest.mark.parametrize("optimizer", ["momentum", "momentum_course"])


@BOTH
def test_every_command_takes_it(parity: Callable[..., Ended], optimizer: str) -> None:
    small = (*SMALL, "--optimizer", optimizer)
    assert parity("check", *small).out.count("PASS") == 1
    assert parity("record", *small, "--side", "manual", "--out", "a.safetensors").status == 0
    assert parity("record", *small, "--side", "torch", "--out", "b.safetensors").status == 0
    assert parity("diff", "a.safetensors", "b.safetensors").status == 0
    steps = (*small, "--steps", "4", "--log-every", "2")
    assert parity("train", *steps, "--name", "a").status == 0
    assert parity("train", "--resume", "a", "--steps", "6").status == 0
    assert parity("shard", *small, "--p", "0", "--shards", "3,5", "--out", "ranks").status == 0
    Path("grid.toml").write_text("momentum = [0, 0.5]\n")
    grid = ("--optimizer", optimizer, "--grid", "grid.toml", "--out", "out.jsonl", "--json")
    told = json.loads(parity("check", *SMALL[:-2], *grid).out)
    assert told["by_verdict"]["passed"] == told["cases"] == 2


@BOTH
def test_the_step_is_that_of_gradient_descent(optimizer: str) -> None:
    at = given(Case(data="moons", hidden=(4,), momentum=0, optimizer=optimizer, lr=0.3, p=0))
    W, dW = at["W1"], at.recorded.torch["dW1"]
    parameter = torch.nn.Parameter(torch.tensor(W))
    parameter.grad = torch.tensor(dW)
    torch.optim.SGD([parameter], lr=0.3, momentum=0).step()
    mine = {"W1": parameter.detach().numpy()}
    np.testing.assert_array_equal(at.recorded.torch["W1"], mine["W1"])
    assert check(mine, at).passed
    assert not check({"W1": W - 0.9 * 0.3 * dW}, at).passed


def test_a_buffer_that_torch_does_not_keep_is_explained() -> None:
    at = given(Case(data="moons", hidden=(4,), momentum=0))
    report = check({"W1": at.recorded.torch["W1"], "vW1": at.recorded.torch["dW1"]}, at)
    assert report.unknown == ("With momentum 0, torch.optim.SGD keeps no buffer: leave vW1 out.",)


def test_nesterov_needs_one(parity: Callable[..., Ended]) -> None:
    with pytest.raises(ValueError, match="Nesterov momentum requires a momentum"):
        torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0, nesterov=True)
    said = refusal(parity("check", *SMALL, "--optimizer", "nesterov"))
    assert "momentum is 0, but nesterov needs more" in said
    assert "use optimizer sgd" in said
    with pytest.raises(ValueError, match="use optimizer sgd"):
        Case(optimizer="nesterov", momentum=0)
