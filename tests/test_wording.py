"""The wording of every kind of report, each compared as a whole with one text in tests/golden.

Other tests assert statuses and fields. Numbers are masked here: they depend on the machine, and
other tests check them.
"""

import re
from collections.abc import Callable

import pytest

from tests.command import Ended
from tests.golden_text import Golden, masked
from torch_parity import manual
from torch_parity.compare.cli import parity as group
from torch_parity.manual import operations
from torch_parity.manual.operations import find

Parity = Callable[..., Ended]
COMMANDS = group.commands

MOONS = ("--data", "moons", "--hidden", "4", "--activation", "tanh", "--samples", "60")


def slope_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A backward of tanh that forgets the slope, in the hand-written side."""
    wrong = {"tanh": (manual.tanh, lambda da, z: da * 1)}
    patch.setattr(operations, "find", lambda name: wrong.get(name) or find(name))


@pytest.mark.parametrize("command", ["train", "check"])
@pytest.mark.parametrize("right", [True, False], ids=["pass", "fail"])
def test_train_and_check(
    command: str, right: bool, parity: Parity, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not right:
        slope_forgotten(monkeypatch)
    ended = parity(command, *MOONS, "--steps", "3")
    assert ended.status == (0 if right else 1)
    golden.whole(f"{command}-{'pass' if right else 'fail'}", masked(ended.out))


def test_training_that_diverges(parity: Parity, golden: Golden) -> None:
    case = ("--loss", "mse_loss", "--output", "identity", "--p", "0", "--lr", "1e200")
    ended = parity("train", *MOONS, *case, "--steps", "9")
    assert ended.status == 1
    golden.whole("train-diverged", masked(ended.out))


def test_weights_of_zero(parity: Parity, golden: Golden) -> None:
    zeros = ("--initializer", "zeros", "--bias-scale", "0", "--p", "0", "--l2", "0")
    ended = parity("train", *MOONS, *zeros, "--steps", "3")
    assert ended.status == 0
    golden.whole("train-zeros", masked(ended.out[ended.out.index("NOTE") :]))


def test_files_that_differ(parity: Parity, golden: Golden) -> None:
    """Each side is right on its own inputs, but the inputs are not the same."""
    for name, seed in (("a", "1"), ("b", "2")):
        assert parity("record", *MOONS, "--seed", seed, "--out", name).status == 0
    ended = parity("diff", "a", "b")
    assert ended.status == 1
    golden.whole("diff-fail", masked(ended.out))


def test_gradcheck(parity: Parity, golden: Golden) -> None:
    ended = parity("gradcheck", *MOONS)
    assert ended.status == 0
    golden.whole("gradcheck-pass", masked(ended.out))


def test_a_planted_mistake(parity: Parity, golden: Golden) -> None:
    ended = parity("faults", "bias_missing")
    assert ended.status == 0
    golden.whole("faults", masked(ended.out))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help(command: str, parity: Parity, golden: Golden) -> None:
    """The options of a command, without those of a case, which are in Case."""
    ended = parity(command, "--help")
    assert ended.status == 0
    text = re.sub(r"^Usage: .*?parity (?=\w)", "Usage: parity ", ended.out)
    of_a_case = re.compile(r"^Data:$.*?(?=^Examples:$)", re.M | re.S)
    golden.section("help", of_a_case.sub("", text))
