"""Tables on a terminal: names, verdicts and the legend stay whole at every width."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from tests.command import parity
from torch_parity import Case
from torch_parity.compare.data import load
from torch_parity.compare.judge.differences import Difference
from torch_parity.compare.judge.judge import Judgement
from torch_parity.compare.judge.replayed import Replayed
from torch_parity.compare.judge.verdict import Names
from torch_parity.compare.models import describe, model_names
from torch_parity.compare.show.fitted import Column, broken, fitted
from torch_parity.compare.show.step_table import SMALLEST_FAULT, step_table, zero_in_theory
from torch_parity.compare.sources import pair

SMALL = ("--data", "moons", "--samples", "40", "--hidden", "4", "--steps", "2")
GPT = ("--model", "gpt", "--samples", "12", "--length", "9", "--hidden", "8,2", "--steps", "2")


@pytest.fixture(scope="module", params=[("--data", "moons", "--hidden", "4"), GPT[:-2]], ids=str)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("traces")
    made = [str(folder / f"{name}.safetensors") for name in ("mine", "torch")]
    for side, file in zip(("manual", "torch"), made, strict=True):
        assert parity("record", *request.param, "--side", side, "--out", file).status == 0
    return made


@pytest.mark.parametrize("width", [60, 80, 100])
def test_diff(files: list[str], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = parity("diff", *files).out.splitlines()
    assert max(map(len, lines)) <= width
    table = lines[: next(n for n, line in enumerate(lines) if line.startswith("of bound: the"))]
    head = next(n for n, line in enumerate(table) if "───" in line)
    assert "verdict" in table[head - 1]
    values = [line.split() for line in table[head + 1 :] if "e" in line and "%" in line]
    assert len(values) > 20
    assert all(cells[-1] == "match" for cells in values)
    monkeypatch.setenv("COLUMNS", "200")
    words = {w for line in parity("diff", *files).out.splitlines()[4:] for w in line.split()[:1]}
    if width >= 80:
        assert {cells[0] for cells in values} <= words
    else:
        parts = {part for word in words for part in (*word.split("."), word)}
        assert {cells[0].rstrip(".").split(".")[-1] for cells in values} <= parts


@pytest.mark.parametrize("width", [60, 80])
def test_long_names_of_sides_and_a_wrong_one(width: int) -> None:
    """The side's name stands in a header and in the verdict; neither cuts another verdict."""
    side = "my_very_long_export_from_elsewhere"
    wrong = Replayed("dW2", "penalty", "wrong", 1e10)
    right = Replayed("dW2", "penalty", "right", 0.1)
    judged = Judgement(
        tuple(Difference(n, v, 0.0, 0.0, 0.5) for n, v in (("z1", "match"), ("dW2", "differs"))),
        {"manual": (right,), "torch": (wrong,)},
    )
    console = Console(width=width, record=True, file=io.StringIO())
    called: Names = {"manual": "mine", "torch": side}
    console.print(step_table(judged, False, called, width))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert [line.split()[-1] for line in lines if line.split()[:1] == ["z1"]] == ["match"]
    shown = " ".join(lines).split()
    assert {"my_very_", "elsewhere"} <= set(shown)
    assert "wrong" in shown


def test_the_legend_explains_the_columns_that_are_shown() -> None:
    for width, explained in ((30, False), (200, True)):
        columns = [
            Column("name", name=True),
            Column("fault", left_out=1, legend=SMALLEST_FAULT),
            Column("verdict"),
        ]
        row = [Text("blocks.0.attn.q.bias"), Text("1e-2"), Text("match")]
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(fitted(columns, [row], width))
        out = console.export_text()
        assert ("smallest" in out) == explained
        assert "match" in out
        assert max(map(len, out.splitlines())) <= width


@pytest.mark.parametrize(
    ("name", "room", "lines"),
    [
        ("momentum", 3, ["momentum"]),
        ("binary_cross_entropy", 14, ["binary_cross_", "entropy"]),
        ("blocks.0.attn.q.weight.grad", 16, ["blocks.0.attn.q.", "weight.grad"]),
        ("of bound:\nmanual", 12, ["of bound:", "manual"]),
    ],
)
def test_names_break_between_words(name: str, room: int, lines: list[str]) -> None:
    assert broken(Text(name), room).plain.split("\n") == lines


def test_a_large_difference_that_matches_is_explained() -> None:
    small = Difference("W", "match", 1e-9, 1e-12, 1e-12)
    noise = Difference("k.bias.grad", "rounding", 0.0, 1e-17, 1.5)
    wrong = Difference("q.bias.grad", "differs", 0.0, 1.0, 1.5)
    assert zero_in_theory([("W", small), ("q", wrong)]) == ""
    said = zero_in_theory([("W", small), ("k.bias.grad", noise), ("q.bias.grad", wrong)])
    assert "k.bias.grad" in said
    assert "q.bias.grad" not in said


@pytest.mark.parametrize(
    ("case", "explained"), [(GPT, True), (SMALL, False)], ids=["a key's bias", "no such tensor"]
)
def test_train_explains_it_where_it_exists(
    case: tuple[str, ...], explained: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = parity("train", *case, "--runs", str(tmp_path), "--name", "a")
    assert ended.status == 0
    assert ("0 in theory" in " ".join(ended.out.split())) == explained
    words = {line.split()[0] for line in ended.out.splitlines() if "match" in line.split()[-1:]}
    assert ("blocks.0.attn.k.bias.grad" in words) == explained


@pytest.mark.parametrize("name", model_names())
def test_a_model_says_what_it_is(name: str) -> None:
    """Every size, and the activation exactly where a case's has an effect."""
    case = Case(model=name, activation="tanh", samples=20)
    net = pair.build(case, load(case)).manual.net
    said = describe(net)
    numbers = set(map(int, re.findall(r"\d+", said)))
    seen = net.sample_shape if hasattr(net, "sample_shape") else net.sizes[:1]
    assert {*seen, *net.sizes[1:]} <= numbers
    assert ("tanh" in said) == hasattr(net, "activation")
    assert ("gelu" in said) == (name == "gpt")


def test_a_model_without_words_of_its_own_is_its_sizes() -> None:
    class Own:
        sizes = (3, 5, 2)

    assert describe(Own()) == "network 3-5-2"
