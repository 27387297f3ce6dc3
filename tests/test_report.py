"""`parity report`: the page shows what the run's files contain, never PASS for broken files."""

import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

import torch_parity as tp
from tests.command import Ended, refusal
from tests.command import parity as run
from tests.golden_text import Golden, masked
from torch_parity.compare.show.dashboard import write_report
from torch_parity.lessons import LESSONS
from torch_parity.lessons.lesson import Lesson, Measured, Table, claim

MOONS = ("train", "--data", "moons", "--hidden", "5,4", "--steps", "12", "--log-every", "3")

Parity = Callable[..., Ended]
Page = Callable[..., str]


@pytest.fixture(scope="module")
def run_of_moons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that passed; no test changes it."""
    root = tmp_path_factory.mktemp("trained")
    assert run(*MOONS, "--gradcheck", "5", "--runs", str(root)).status == 0
    return root / "moons"


@pytest.fixture
def moons(run_of_moons: Path, parity: Parity) -> Path:
    """A copy of it, to be damaged; without its gradient check."""
    shutil.copytree(run_of_moons, "runs/moons")
    Path("runs/moons/gradcheck.json").unlink()
    summary = Path("runs/moons/summary.json")
    without = json.loads(summary.read_text()) | {"gradients_passed": None}
    summary.write_text(json.dumps(without))
    return Path("runs/moons")


def test_a_lost_gradient_check_is_no_pass(run_of_moons: Path, parity: Parity, page: Page) -> None:
    """Nobody knows any more what it found."""
    shutil.copytree(run_of_moons, "runs/moons")
    Path("runs/moons/gradcheck.json").unlink()
    assert "gradcheck.json is missing" in verdict(page("moons"))
    assert parity("train", "--resume", "moons").status == 1


@pytest.fixture
def bare(moons: Path) -> Path:
    """A copy without curves, which are slow to draw."""
    for side in ("manual", "torch", "perturbed_copy", "parity"):
        shutil.rmtree(moons / side)
    return moons


@pytest.fixture
def page(parity: Parity) -> Page:
    """The page about a run."""

    def write(name: str, root: str = "runs") -> str:
        assert parity("report", name, "--runs", root).status == 0
        return (Path(root) / name / "report.html").read_text("utf-8")

    return write


@pytest.fixture
def refused(parity: Parity) -> Callable[..., str]:
    """The message of the command for a run without a page."""

    def ask(name: str) -> str:
        said = refusal(parity("report", name))
        assert not (Path("runs") / name / "report.html").exists()
        return said

    return ask


def verdict(page: str) -> str:
    """The text of the verdict, without tags."""
    (section,) = re.findall(r'<section class="verdict.*?</section>', page, re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", section)).split())


def rows(page: str, table: str) -> list[list[str]]:
    """The cells of a table's body, row by row."""
    (found,) = re.findall(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    cells = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in found.split("</tr>")[:-1])
    return [[unescape(cell) for cell in row] for row in cells]


def curves_end(page: str) -> int:
    """The last step of the curves of a run that has more steps."""
    (step,) = re.findall(r"The curves end at step (\d+) of 12", page)
    return int(step)


def test_a_run_that_passed(moons: Path, page: Page) -> None:
    html = page("moons")
    summary = json.loads(Path("runs/moons/summary.json").read_text())
    tensors, replays = len(summary["worst"]), summary["replays"]
    assert verdict(html).startswith(f"PASS {tensors} tensors x 12 steps match")
    assert f"in {replays} of these steps every operation was replayed" in verdict(html)
    shown = {row[0]: row for row in rows(html, "tensors")}
    assert list(shown) == list(summary["worst"])
    for name, worst in summary["worst"].items():
        _, said, _, _, gap, step = shown[name]
        assert float(gap) == pytest.approx(worst["difference"]["relative"], rel=0.06)
        assert (int(step), said) == (worst["step"], "match")
    used = {
        side: {name: f"{use:.0%}" for name, use in summary["use"][side].items()}
        for side in summary["use"]
    }
    assert {name: row[2] for name, row in shown.items()} == used["manual"]
    assert {name: row[3] for name, row in shown.items()} == used["torch"]
    for side, train, dev in rows(html, "scores"):
        of_side = summary["scores"][side]
        assert [train, dev] == [f"{of_side[f'accuracy/{s}']:.2%}" for s in ("train", "dev")]
    assert "Diagnosis:" in html
    for name, number in summary["made_with"].items():
        assert f"{name} {number}" in unescape(html)
    assert ">moons</dd>" in html
    assert f"{summary['envelope']:.1e}" in html


def test_both_sides_are_drawn_on_train_and_dev_over_the_envelope(moons: Path, page: Page) -> None:
    html = page("moons")
    drawn = {
        name: re.findall(r'<path d="([^"]+)"', body)
        for name, body in re.findall(r'<g id="((?:manual|torch) \S+)">(.*?)</g>', html, re.DOTALL)
    }
    for what in ("loss", "accuracy"):
        for split in ("train", "dev"):
            by_hand, in_torch = (drawn[f"{side} {what}/{split}"][0] for side in ("manual", "torch"))
            assert len(by_hand.split("L")) == 5, "steps 1, 3, 6, 9 and 12"
            numbers = [[float(n) for n in re.findall(r"[\d.]+", d)] for d in (by_hand, in_torch)]
            np.testing.assert_allclose(*numbers, rtol=1e-4)
    assert 'id="envelope"' in html
    assert 'id="drift"' in html


def test_the_page_asks_nobody_for_anything(moons: Path, page: Page) -> None:
    html = page("moons")
    assert "<script" not in html
    assert "default-src 'none'" in html
    links = re.findall(r"""(?:src|href)="([^"]*)"|url\(([^)]*)\)|@import""", html)
    assert all((a or b).startswith(("#", "data:image/")) for a, b in links), links


def test_a_planted_mistake(
    parity: Parity, page: Page, monkeypatch: pytest.MonkeyPatch, golden: Golden
) -> None:
    monkeypatch.setattr("torch_parity.manual.models.mlp.dropout_backward", lambda dh, mask: dh)
    assert parity(*MOONS, "--p", "0.4").status == 1
    html = page("moons")
    golden.section("report", masked(verdict(html)))
    assert "<code>da = dh * mask</code>" in html
    assert "PASS" not in html
    wrong = {row[0]: row[1] for row in rows(html, "tensors")}
    assert wrong["da2"] == "manual wrong"
    assert wrong["z1"] == "match"
    at = {row[0]: row[-1] for row in rows(html, "tensors")}
    assert re.fullmatch(r"\[\d+, \d+\]", at["da2"])


def test_a_run_that_diverged(parity: Parity, page: Page, golden: Golden) -> None:
    assert parity(*MOONS, "--lr", "1e308").status == 1
    html = page("moons")
    golden.section("report", masked(verdict(html)))
    assert "PASS" not in html


def test_nothing_is_nan_apart(parity: Parity, page: Page) -> None:
    """The free-running sides diverge in the second step, and before it nothing can be drawn."""
    diverging = ("--loss", "mse_loss", "--output", "identity", "--p", "0", "--lr", "1e200")
    ended = parity(*MOONS, *diverging)
    assert ended.status == 1
    for shown in (ended.out, re.sub(r"<svg.*?</svg>", "", page("moons"), flags=re.S)):
        assert "trained on its own" in shown
        assert re.findall(r"\b(?:nan|inf) apart", shown) == []


def test_a_run_that_was_stopped(moons: Path, page: Page, golden: Golden) -> None:
    (moons / "summary.json").unlink()
    html = page("moons")
    golden.section("report", verdict(html))
    assert "PASS" not in html
    assert 'id="torch loss/train"' in html


def test_a_run_without_its_curves(bare: Path, page: Page, golden: Golden) -> None:
    html = page(bare.name)
    golden.section("report", masked(verdict(html)))
    assert curves_end(html) == 0
    assert "<svg" not in html


def test_fewer_steps_than_the_case_has_are_no_pass(bare: Path, page: Page, golden: Golden) -> None:
    case = Path("runs/moons/case.toml")
    case.write_text(case.read_text().replace("steps = 12", "steps = 13"))
    golden.section("report", verdict(page("moons")))


@pytest.mark.parametrize("damage", ["passed", "tensor", "no tensors"])
def test_no_pass_unless_all_of_the_summary_says_so(bare: Path, page: Page, damage: str) -> None:
    file = Path("runs/moons/summary.json")
    summary = json.loads(file.read_text())
    if damage == "passed":
        summary["passed"] = False
    elif damage == "tensor":
        summary["worst"]["z1"]["difference"]["verdict"] = "differs"
    else:
        summary["worst"] = {}
    file.write_text(json.dumps(summary))
    assert verdict(page("moons")).startswith("FAIL")


def test_gradients_that_are_wrong_are_no_pass(
    bare: Path, run_of_moons: Path, page: Page, golden: Golden
) -> None:
    record = json.loads((run_of_moons / "gradcheck.json").read_text())
    file = bare / "gradcheck.json"
    file.write_text(json.dumps(record))
    right = verdict(page("moons"))
    assert right.startswith("PASS")
    golden.section("report", masked(right))
    file.write_text(json.dumps(record | {"passed": False, "failure": "step 5, torch: db2"}))
    assert verdict(page("moons")) == "FAIL Gradients: step 5, torch: db2"


@pytest.mark.parametrize("kept", [0, 1, 300, -2])
def test_a_summary_cut_off(
    bare: Path, refused: Callable[..., str], kept: int, golden: Golden
) -> None:
    file = Path("runs/moons/summary.json")
    file.write_text(file.read_text()[:kept])
    where = re.compile(r"\(line .*?\)")  # it depends on the version of Python
    golden.section("report", where.sub("(PLACE)", refused("moons")))


def test_a_summary_of_something_else(
    bare: Path, refused: Callable[..., str], golden: Golden
) -> None:
    said = []
    for content in (b'{"passed": true}', b"\xff\xfe\x00"):
        Path("runs/moons/summary.json").write_bytes(content)
        said.append(refused("moons"))
    golden.section("report", "".join(said))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_events(moons: Path, page: Page, damage: str) -> None:
    (file,) = Path("runs/moons/parity").iterdir()
    held = bytearray(file.read_bytes())
    middle = len(held) // 2
    held[middle] ^= 0xFF
    file.write_bytes({"cut": held[:middle], "flipped": held, "empty": b""}[damage])
    assert 0 <= curves_end(page("moons")) < 12


def test_a_folder_that_is_no_run(refused: Callable[..., str], golden: Golden) -> None:
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/notes.txt").write_text("dear to me")
    golden.section("report", refused("mine") + refused("mnie"))


def test_what_the_files_say_is_never_markup(parity: Parity, page: Page) -> None:
    data = Path("<script>alert(1)<", "script>.csv")
    data.parent.mkdir()
    data.write_text("a,b,y\n" + "".join(f"{i / 2},{-i},{i % 2}\n" for i in range(20)))
    assert (
        parity(
            "train", "--data", str(data), "--target", "y", "--steps", "2", "--name", "mine"
        ).status
        == 0
    )
    html = page("mine")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.csv" in html
    folder = Path("runs/<img src=x onerror=alert(1)>")
    shutil.copytree("runs/mine", folder)
    with SummaryWriter(str(folder)) as writer:
        writer.add_image("<img src=y>", np.zeros((3, 4, 4)))
    summary = json.loads((folder / "summary.json").read_text())
    summary["failure"] = {"step": 1, "words": ["<b>first</b>", "  Right in NumPy: <i>a</i>"]}
    (folder / "summary.json").write_text(json.dumps(summary))
    html = page(folder.name)
    assert not re.search(r"<img src=[xy]|<b>|<i>", html)
    assert "&lt;b&gt;first" in html


@pytest.mark.parametrize("relative", [1.9, 0.2])
def test_a_match_that_looks_like_none_is_explained(bare: Path, page: Page, relative: float) -> None:
    path = bare / "summary.json"
    summary = json.loads(path.read_text())
    name, worst = next(iter(summary["worst"].items()))
    worst["difference"] |= {"verdict": "rounding", "relative": relative}
    path.write_text(json.dumps(summary))
    explained = re.search(rf"A match with a difference above 25% \({name}\)", page("moons"))
    assert bool(explained) == (relative > 0.25)


def test_the_pictures_of_a_run(moons: Path, page: Page) -> None:
    with SummaryWriter("runs/moons/manual") as writer:
        for step in (1, 12):
            writer.add_image("boundary/plane", np.full((3, 6, 7), step / 12), step)
    html = page("moons")
    assert html.count('src="data:image/png;base64,') == 3
    for name in ("boundary/plane, step 12", "confusion, step 12", "decision boundary, step 12"):
        assert name in html


def test_a_lesson_with_its_trainings(
    parity: Parity, moons: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = Figure()
    figure.subplots().plot([1, 2])
    table = Table("counts", ("side", "x < y"), (("manual", "12"), ("torch", "13")))
    agreeing = {"tensors": 3, "tensors/matching": 3, "tensors/difference": 1e-16}
    tiny = Lesson(
        "tiny",
        ("a & b",),
        "The idea.\n  y = <x>",
        lambda seed: Measured(agreeing, (table,), {"drawn": figure}),
        lambda n: (claim(False, "it is so", "it is not so"),),
    )
    monkeypatch.setitem(LESSONS, "tiny", tiny)
    assert parity("lesson", "tiny").status == 0
    for name in ("20 units", "3 units"):
        shutil.copytree(moons, Path("runs/tiny", name))
    html = page("tiny")
    assert verdict(html).startswith("PASS Manual and torch agree: 3 of 3 tensors match")
    assert '<li class="denied">it is not so</li>' in html
    assert "The idea.\n  y = &lt;x&gt;" in html
    assert "a &amp; b (seed 0)" in html
    assert '<th scope="col">x &lt; y</th>' in html
    assert "<td>torch</td><td>13</td>" in html
    assert html.index(">3 units<") < html.index(">20 units<")
    assert html.count('id="torch loss/train"') == 2
    assert html.count("data:image/png;base64,") == 1, "the picture is not shown twice"
    kept = json.loads(Path("runs/tiny/lesson.json").read_text())
    kept["conclusion"][-1] = {"holds": False, "text": "Manual and torch do NOT agree."}
    Path("runs/tiny/lesson.json").write_text(json.dumps(kept | {"passed": False}))
    for name in ("20 units", "3 units"):
        shutil.rmtree(Path("runs/tiny", name))
    assert verdict(page("tiny")) == "FAIL Manual and torch do NOT agree."


@pytest.mark.parametrize("wrong", [True, False])
def test_the_report_that_a_test_left(page: Page, wrong: bool) -> None:
    at = tp.given(tp.Case(data="moons", hidden=(5,), activation="tanh", p=0))
    a1 = np.tanh(at["x"] @ at["W1"].T + at["b1"])
    a2 = 1 / (1 + np.exp(-(a1 @ at["W2"].T + at["b2"])))
    dz2 = (a2 - at["y"]) / len(a2)
    dz1 = dz2 @ at["W2"] * (a1 * (1 - a1) if wrong else 1 - a1**2)
    write_report(Path("kept/test_it"), tp.check({"dz2": dz2, "db1": dz1.sum(axis=0)}, at))
    html = page("test_it", "kept")
    verdicts = {row[0]: row[1] for row in rows(html, "tensors")}
    if wrong:
        assert verdict(html).startswith("FAIL First wrong: mine's")
        assert "slope_of_another_activation" in verdict(html)
        assert "PASS" not in html
        assert verdicts["db1"] == "mine wrong"
    else:
        assert verdict(html).startswith("PASS")
        assert verdicts["db1"] == "match"
    assert "of bound: mine" in html


def test_a_folder_of_pictures_has_no_verdict(parity: Parity, page: Page) -> None:
    assert parity("gradcheck", "--data", "moons", "--hidden", "3", "--name", "look").status == 0
    html = page("look")
    assert verdict(html).startswith("NO VERDICT")
    assert html.count("data:image/png;base64,") == 5, "error.png, and a layer of each side"
