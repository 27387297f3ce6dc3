"""The command as a user runs it: bad input ends with status 2 and a line that helps, writing
nothing; a good run leaves everything that it promised.

main() is called in this process, for torch takes seconds to import; three cases at the end start
the installed command.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.command import Ended, refusal
from tests.golden_text import Golden
from torch_parity.compare.case import Case
from torch_parity.compare.commands import board
from torch_parity.compare.errors import InputError

TINY = ("--hidden", "5,4", "--steps", "5")
MOONS = ("train", "--data", "moons", *TINY)
TABLE = "a,b,y\n" + "".join(f"{i / 2},{-i},{i % 2}\n" for i in range(20))
REAL = "a,b,y\n" + "".join(f"{i / 2},{-i},{i / 3}\n" for i in range(20))
ROWS = np.arange(40.0).reshape(20, 2)
LABELS = np.arange(20) % 2

Content = str | bytes | Mapping[str, np.ndarray]


Parity = Callable[..., Ended]
Refused = Callable[..., None]


@pytest.fixture
def refused(parity: Parity, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> Refused:
    """Runs the command, which must refuse its input and write nothing. What it says is in
    tests/golden/bad-input.txt: the thing, what was expected, what came and the remedy."""

    def no_board(folder: Path, port: int | None) -> NoReturn:
        pytest.fail(f"started TensorBoard on {folder}")

    def refuse(*args: str) -> None:
        before = _everything()
        with monkeypatch.context() as patch:
            patch.setattr(board, "_serve", no_board)
            said = refusal(parity(*args))
        assert _everything() == before, "something was written, moved or changed"
        golden.section("bad-input", said)

    return refuse


def _everything() -> dict[str, bytes | None]:
    """Every file below the working folder with its content; a folder holds None."""
    return {str(p): p.read_bytes() if p.is_file() else None for p in Path().rglob("*")}


def _write(name: str, content: Content) -> str:
    Path(name).parent.mkdir(exist_ok=True)
    if isinstance(content, Mapping):
        np.savez(name, **content)
    else:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def _strict_json(path: Path) -> Any:
    """What any JSON reader takes: Python alone writes and reads NaN and Infinity."""
    return json.loads(path.read_text("utf-8"), parse_constant=lambda c: pytest.fail(f"{c} in JSON"))


class TestOptions:
    @pytest.mark.parametrize(
        ("option", "came"),
        [
            ("p", "1"),
            ("p", "-0.1"),
            ("p", "nan"),
            ("p", "inf"),
            ("p", "half"),
            ("p", ""),
            ("lr", "0"),
            ("lr", "nan"),
            ("lr", "-inf"),
            ("l2", "-1"),
            ("momentum", "1"),
            ("beta2", "1"),
            ("eps", "0"),
            ("noise", "-1"),
            ("negative-slope", "1e999"),
            ("dev-fraction", "0"),
            ("dev-fraction", "1"),
            ("base-error", "1"),
            ("steps", "0"),
            ("steps", "2.5"),
            ("steps", "many"),
            ("batch", "0"),
            ("samples", "7"),
            ("log-every", "0"),
            ("seed", "-1"),
            ("seed", str(2**64)),
            ("threads", "0"),
            ("threads", "99999999999"),
            ("activation", "rel"),
            ("loss", "crossentropy"),
            ("optimizer", "adamax"),
            ("dtype", "float8"),
        ],
    )
    def test_value(self, refused: Refused, option: str, came: str) -> None:
        """The message has the option, what came, what was expected, and what the option means."""
        refused(*MOONS, f"--{option}={came}")

    @pytest.mark.parametrize(
        ("option", "came", "meant"),
        [
            ("activation", "rleu", "relu"),
            ("activation", "tanh,rleu", "relu"),
            ("activation", "ReLU", "relu"),
            ("optimizer", "adamm", "adam"),
            ("loss", "mse", "mse_loss"),
            ("loss", "binary", "binary_cross_entropy"),
            ("output", "sigmod", "sigmoid"),
            ("model", "mpl", "mlp"),
            ("schedule", "cosine", "cosine_lr"),
            ("dtype", "flaot32", "float32"),
            ("initializer", "kaiming", "kaiming_normal"),
        ],
    )
    def test_a_misspelt_name(self, parity: Parity, option: str, came: str, meant: str) -> None:
        said = f"{option} is '{came}': did you mean '{meant}'? It should be '"
        with pytest.raises(InputError, match=re.escape(said)):
            Case(**{option: came})
        assert said in refusal(parity("check", f"--{option}={came}"))

    def test_a_name_that_is_like_none(self) -> None:
        with pytest.raises(InputError, match="loss is 'zz': expected 'binary_cross_entropy', "):
            Case(loss="zz")

    @pytest.mark.parametrize(
        "came",
        [
            "0",
            "5,0",
            "-3",
            "many",
            "5,many",
            "5.5",
            "5;4",
        ],
    )
    def test_hidden(self, refused: Refused, came: str) -> None:
        refused("train", "--data", "moons", f"--hidden={came}")

    def test_hidden_without_comma(self, refused: Refused) -> None:
        """ "5 4" must not be taken for one layer of 54."""
        refused(*MOONS, "--hidden", "5 4")

    def test_more_samples_than_any_memory(self, refused: Refused) -> None:
        refused(*MOONS, "--samples", str(10**15))

    def test_more_parameters_than_any_memory(self, parity: Parity) -> None:
        """Refused before any is drawn; the message has the memory of this machine."""
        assert "4e+15 parameters" in refusal(parity(*MOONS, "--hidden", str(10**15)))

    @pytest.mark.parametrize(
        "options",
        [
            ("--noise", "1e308"),
            ("--noise", "1e300", "--no-standardize"),
            ("--lr", "1e300", "--dtype", "float32"),
            ("--l2", "1e300", "--dtype", "float32"),
            ("--l2", "1e308", "--l2-route", "loss"),
            ("--l1", "1e308"),
            ("--initializer", "normal", "--scale", "1e308"),
            ("--bias-scale", "1e308"),
            ("--activation", "leaky_relu", "--negative-slope", "1e308"),
        ],
        ids=" ".join,
    )
    def test_number_that_overflows(self, parity: Parity, options: tuple[str, ...]) -> None:
        """Finite, and yet perhaps too large to compute with: refused, or a run that ends in good
        order; no traceback, no warning, no run without a summary."""
        ended = parity(*MOONS, *options)
        if ended.status == 2:
            refusal(ended)
            assert not Path("runs").exists()
        else:
            assert ended.status in (0, 1)
            passed = _strict_json(Path("runs/moons/summary.json"))["passed"]
            assert passed is (ended.status == 0)

    def test_two_mistakes_are_both_named(self, refused: Refused) -> None:
        refused(*MOONS, "--p", "1", "--lr", "0")

    def test_more_mistakes_are_still_two_lines(self, refused: Refused) -> None:
        refused(*MOONS, "--p", "1", "--lr", "0", "--steps", "0", "--batch", "0")

    @pytest.mark.parametrize(
        "args",
        [
            ("train", "--hiden", "4"),
            ("train", "--keep-prob", "0.8"),
            ("train", "moons"),
            ("train", "--steps"),
            ("trian",),
            ("board", "--port", "x"),
        ],
    )
    def test_what_click_refuses(self, refused: Refused, args: tuple[str, ...]) -> None:
        refused(*args)

    @pytest.mark.parametrize(
        "args",
        [
            ("--loss", "cross_entropy", "--output", "softmax"),
            ("--loss", "binary_cross_entropy", "--output", "tanh"),
            ("--output", "relu"),
        ],
    )
    def test_output_that_does_not_fit_the_loss(
        self, refused: Refused, args: tuple[str, ...]
    ) -> None:
        refused(*MOONS, *args)

    def test_help_tells_of_every_field(self, parity: Parity) -> None:
        """What Case knows and --help hides, no user finds. Blanks are where a line may break."""
        ended = parity("train", "--help")
        assert ended.status == 0
        flags = set(re.findall(r"^ +(--[\w-]+)", ended.out, flags=re.MULTILINE))
        solid = re.sub(r"\s", "", ended.out)
        for name, field in Case.model_fields.items():
            assert "--" + name.replace("_", "-") in flags
            assert field.description
            description = re.sub(r"\s", "", field.description)
            assert description in solid
            default = field.default
            if field.annotation is bool:
                default = "yes" if default else "no"
            elif name == "hidden":
                default = ",".join(map(str, field.default))
            if default is not None:
                names = r"(;oneof[\w,]+)?"
                shown = re.escape(description) + names + re.escape(f"[default:{default}]")
                assert re.search(shown, solid), name


class TestData:
    @pytest.mark.parametrize(
        "name",
        [
            "moon",
            "wine",
            "mine.txt",
            ".",
            "",
            "gone.csv",
        ],
    )
    def test_unknown(self, refused: Refused, name: str) -> None:
        refused("train", "--data", name, *TINY)

    @pytest.mark.parametrize("name", ["gone.csv", "gone.npz", "no/such/folder.csv"])
    def test_missing_file(self, refused: Refused, name: str) -> None:
        refused("train", "--data", name, "--target", "y")

    @pytest.mark.parametrize("name", ["folder.csv", "folder.npz"])
    def test_folder(self, refused: Refused, name: str) -> None:
        Path(name).mkdir()
        refused("train", "--data", name, "--target", "y")

    def test_target_of_a_bundled_set(self, refused: Refused) -> None:
        refused(*MOONS, "--target", "y")

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param("", id="empty"),
            pytest.param("a,b,y\n", id="names-alone"),
            pytest.param("a,b,Label\n1,2,0\n3,4,1\n", id="target"),
            pytest.param("a,b,yy\n1,2,0\n3,4,1\n", id="misspelt-target"),
            pytest.param("a,b,y\n1,2,0\n3,oops,1\n", id="text"),
            pytest.param("a,b,y\n1,nan,0\n3,4,1\n", id="nan"),
            pytest.param("a,b,y\n1,2,0\n3,-inf,1\n", id="inf"),
            pytest.param("a,b,y\n1,2,0\n3,4,-1\n", id="label"),
            pytest.param("a,b,y\n1,2,0\n3,4,7\n", id="label-gap"),
            pytest.param("a,b,y\n1,2,0\n3,4,0\n", id="one-class"),
            pytest.param("y\n0\n1\n0\n", id="no-features"),
            pytest.param("a,b,y\n1,2,0\n3,4,1,5,6\n", id="ragged"),
            pytest.param(bytes(range(256)), id="binary"),
        ],
    )
    def test_csv(self, refused: Refused, content: Content) -> None:
        path = _write("mine.csv", content)
        refused("train", "--data", path, "--target", "y")

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(TABLE, id="text"),
            pytest.param({"x": ROWS[:9], "y": LABELS}, id="shape"),
            pytest.param({"x": ROWS[:, 0], "y": LABELS}, id="1-D"),
            pytest.param({"x": ROWS, "Z": LABELS}, id="target"),
            pytest.param({"x": ROWS, "y": LABELS - 1}, id="-1"),
            pytest.param({"x": ROWS * np.nan, "y": LABELS}, id="nan"),
            pytest.param({"x": ROWS.astype(str), "y": LABELS}, id="str"),
            pytest.param({"x": ROWS.astype(object), "y": LABELS}, id="object"),
            pytest.param({"x": ROWS, "z": ROWS, "y": LABELS}, id="two"),
        ],
    )
    def test_npz(self, refused: Refused, content: Content) -> None:
        path = _write("mine.npz", content)
        refused("train", "--data", path, "--target", "y")

    @pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
    def test_loss_for_classes_on_numbers(self, refused: Refused, loss: str) -> None:
        path = _write("mine.csv", REAL)
        refused("train", "--data", path, "--target", "y", "--loss", loss)

    @pytest.mark.parametrize("fraction", ["0.05", "0.95"])
    def test_split_that_leaves_nothing(self, refused: Refused, fraction: str) -> None:
        refused(*MOONS, "--samples", "8", "--dev-fraction", fraction)


class TestCaseFile:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("stepz = 5", id="key"),
            pytest.param("keep_prob = 0.8", id="far-key"),
            pytest.param("[train]\nsteps = 5", id="table"),
            pytest.param("steps: 5", id="yaml"),
            pytest.param('{"steps": 5}', id="json"),
            pytest.param("data = moons", id="no-quotes"),
            pytest.param("lr = 1\nlr = 2", id="twice"),
            pytest.param(b"\xff\xfe", id="not-utf-8"),
        ],
    )
    def test_text(self, refused: Refused, text: Content) -> None:
        path = _write("mine.toml", text)
        refused("train", "--case", path)

    @pytest.mark.parametrize(
        "line",
        [
            'steps = "many"',
            "steps = [5]",
            "steps = 0",
            "steps = true",
            "steps = 1\nlr = true",
            "lr = nan",
            "lr = 2025-01-01",
            "p = 1",
            "hidden = 5",
            "hidden = [5, 0]",
            'hidden = ["many"]',
            "data = 5",
            'standardize = "perhaps"',
            'loss = "mse"',
            'loss = "cross_entropy"\noutput = "softmax"',
        ],
    )
    def test_value(self, refused: Refused, line: str) -> None:
        refused("train", "--case", _write("mine.toml", line))

    def test_missing(self, refused: Refused) -> None:
        refused("train", "--case", "gone.toml")

    def test_folder(self, refused: Refused) -> None:
        Path("folder.toml").mkdir()
        refused("train", "--case", "folder.toml")

    def test_csv_given_as_case(self, refused: Refused) -> None:
        path = _write("mine.csv", TABLE)
        refused("train", "--case", path)


class TestNameAndRuns:
    @pytest.mark.parametrize(
        "name", ["a/b", "../b", "..", ".", "", "a b", "/tmp/b", "b/", "a\\b", "~", "b\n"]
    )
    def test_name(self, refused: Refused, name: str) -> None:
        refused(*MOONS, "--name", name)

    def test_name_too_long(self, refused: Refused) -> None:
        """Another --runs, as a full or missing disk would need, is no way out of this."""
        refused(*MOONS, "--name", "b" * 300)

    def test_name_that_exists(self, parity: Parity, refused: Refused) -> None:
        assert parity(*MOONS, "--name", "mine").status == 0
        refused(*MOONS, "--name", "mine")

    @pytest.mark.parametrize("name", [(), ("--name", "mine")])
    def test_runs_is_a_file(self, refused: Refused, name: tuple[str, ...]) -> None:
        path = _write("mine.txt", "dear to me")
        refused(*MOONS, *name, "--runs", path)

    def test_runs_below_a_file(self, refused: Refused) -> None:
        _write("mine.txt", "dear to me")
        refused(*MOONS, "--runs", "mine.txt/runs")


class TestBoard:
    def test_no_runs(self, refused: Refused) -> None:
        refused("board")

    def test_no_runs_in_an_empty_folder(self, refused: Refused) -> None:
        Path("elsewhere").mkdir()
        refused("board", "--runs", "elsewhere")

    def test_runs_is_a_file(self, refused: Refused) -> None:
        path = _write("mine.txt", "dear to me")
        refused("board", "--runs", path)

    @pytest.mark.parametrize(
        "name",
        [
            "mons",
            "digits",
            "..",
            "moons/manual",
        ],
    )
    def test_unknown_run(self, refused: Refused, name: str) -> None:
        Path("runs/moons/manual").mkdir(parents=True)
        _write("runs/digits", "a file is no run")
        refused("board", name)

    @pytest.mark.parametrize(("name", "folder"), [((), "new"), (("old",), "old")])
    def test_opens_the_newest_or_the_named(
        self, parity: Parity, monkeypatch: pytest.MonkeyPatch, name: tuple[str, ...], folder: str
    ) -> None:
        """The newest is the one that was trained last, whatever was written beside it since."""
        for age, run in enumerate(["new", "old", "older"]):
            (Path("runs") / run / "torch").mkdir(parents=True)
            events = _write(f"runs/{run}/torch/events.out.tfevents.1", b"")
            os.utime(events, (1e9 - age, 1e9 - age))
            os.utime(Path("runs") / run, (1e9 + age, 1e9 + age))
        for later in ("report.html", "lock"):
            _write(f"runs/old/{later}", b"")
        Path("runs/empty").mkdir()
        started: list[tuple[Path, str, int | None]] = []

        def stopped(*asked: Any) -> NoReturn:
            started.append(asked)
            raise KeyboardInterrupt

        monkeypatch.setattr(board, "_serve", stopped)
        assert parity("board", *name, "--port", "7007").status == 0
        assert started == [(Path("runs") / folder, "localhost", 7007)]

    def test_a_run_without_events(self, refused: Refused) -> None:
        Path("runs/moons").mkdir(parents=True)
        refused("board")

    def test_all_and_one(self, refused: Refused) -> None:
        Path("runs/moons").mkdir(parents=True)
        refused("board", "moons", "--all")


def _curves(folder: Path) -> dict[str, dict[int, float]]:
    """Tag -> step -> number, of every event; a step that was written twice fails."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    curves: dict[str, dict[int, float]] = {}
    for tag in events.Tags()["scalars"]:
        points = [(e.step, e.value) for e in events.Scalars(tag)]
        curves[tag] = dict(points)
        assert len(curves[tag]) == len(points), f"{tag} holds a step twice"
    return curves


class TestGoodRun:
    def test_leaves_case_summary_and_events(self, parity: Parity) -> None:
        ended = parity(*MOONS, "--quiet")
        assert ended.status == 0
        assert "PASS" in ended.out
        assert "FAIL" not in ended.out
        assert ended.err.strip() == ""
        assert sorted(p.name for p in Path("runs").iterdir()) == ["moons"]
        names = sorted(p.name for p in Path("runs/moons").iterdir())
        files = ["case.toml", "checkpoints", "lock", "summary.json"]
        logs = ["manual", "torch", "perturbed_copy", "parity", "bound"]
        assert names == sorted([*files, *logs])
        for log in logs:
            assert len(list(Path("runs/moons", log).iterdir())) == 1, "one log, one run"

    def test_summary(self, parity: Parity) -> None:
        parity(*MOONS)
        summary = _strict_json(Path("runs/moons/summary.json"))
        assert summary["passed"] is True
        assert summary["failure"] is None
        assert summary["steps"] == 5
        assert 0 <= summary["drift"] < 1e-12
        assert {"z1", "a1", "loss", "dW1", "vW1", "W1", "b1", "z3", "W3"} <= set(summary["worst"])
        for name, worst in summary["worst"].items():
            assert worst["difference"]["name"] == name
            assert worst["difference"]["verdict"] in ("match", "rounding")
            assert worst["difference"]["relative"] <= 1e-12
            assert 1 <= worst["step"] <= 5
        assert set(summary["scores"]) == {"manual", "torch"}
        for scores in summary["scores"].values():
            assert set(scores) == {"accuracy/train", "accuracy/dev"}
            assert all(0 <= score <= 1 for score in scores.values())

    def test_curves_of_both_sides_lie_over_one_another(self, parity: Parity) -> None:
        """TensorBoard draws two runs into one chart only where their tags are the same."""
        parity(*MOONS, "--log-every", "2")
        found = [_curves(Path("runs/moons", side)) for side in ("manual", "torch")]
        manual, torch = (
            {tag: c for tag, c in curves.items() if not tag.startswith(("apart/", "band/"))}
            for curves in found
        )
        assert set(found[0]) == set(found[1])
        sometimes = {f"{what}/{part}" for what in ("loss", "accuracy") for part in ("train", "dev")}
        sometimes |= {"dead_units/layer1", "dead_units/layer2"}
        parameters = [f"{kind}{layer}" for kind in "Wb" for layer in (1, 2, 3)]
        always = {"loss/batch", "cost/batch"}
        always |= {f"{of}_norm/{name}" for of in ("gradient", "weight") for name in parameters}
        assert set(manual) == sometimes | always
        for tag in always | sometimes:
            steps = [1, 2, 3, 4, 5] if tag in always else [1, 2, 4, 5]
            assert sorted(manual[tag]) == sorted(torch[tag]) == steps, tag
            for step in steps:
                assert manual[tag][step] == pytest.approx(torch[tag][step], rel=1e-6), (tag, step)

    def test_each_side_writes_its_own_numbers(self, parity: Parity) -> None:
        """One side's numbers written twice would lie over one another just as well. In float32
        the two sides round apart, and a curve shows it."""
        parity(*MOONS, "--dtype", "float32")
        manual, torch = (_curves(Path("runs/moons", side)) for side in ("manual", "torch"))
        assert set(manual) == set(torch)
        assert manual != torch

    def test_curves_of_the_differences(self, parity: Parity) -> None:
        parity(*MOONS)
        curves = _curves(Path("runs/moons/parity"))
        assert {"drift/manual_to_torch", "drift/perturbed_copy"} <= set(curves)
        assert {"difference/z", "difference/dW", "difference/W"} <= set(curves)
        for tag, points in curves.items():
            if tag.startswith("log10_difference/"):  # none where nothing differs
                assert all(value < -12 for value in points.values()), tag
                continue
            assert sorted(points) == [1, 2, 3, 4, 5], tag
            assert all(0 <= value < 1e-12 for value in points.values()), tag

    def test_curves_agree_with_the_summary(self, parity: Parity) -> None:
        parity(*MOONS)
        summary = _strict_json(Path("runs/moons/summary.json"))
        for side, scores in summary["scores"].items():
            curves = _curves(Path("runs/moons", side))
            for tag, score in scores.items():
                assert curves[tag][5] == pytest.approx(score, rel=1e-6)

    @pytest.mark.parametrize(
        "options",
        [
            (),
            ("--hidden", "", "--p", "0.5", "--seed", "7", "--noise", "0.3", "--no-standardize"),
            ("--optimizer", "adam", "--loss", "mse_loss", "--dtype", "float32"),
        ],
    )
    def test_case_file_repeats_the_run(self, parity: Parity, options: tuple[str, ...]) -> None:
        first = parity(*MOONS, *options)
        again = parity("train", "--case", "runs/moons/case.toml")
        assert first.status == again.status == 0
        for file in ("case.toml", "summary.json"):
            was, now = (Path("runs", run, file).read_text() for run in ("moons", "moons-2"))
            assert was == now
        other = parity("train", "--case", "runs/moons/case.toml", "--seed", "8")
        assert other.status == 0
        was, now = (Path("runs", run, "summary.json").read_text() for run in ("moons", "moons-3"))
        assert was != now, "a summary that never changes proves no repetition"

    def test_own_file(self, parity: Parity) -> None:
        """With a target that is a number, so the score is R2."""
        ended = parity("train", "--data", _write("mine.csv", REAL), "--target", "y", *TINY)
        assert ended.status == 0
        summary = _strict_json(Path("runs/mine/summary.json"))
        assert set(summary["scores"]["torch"]) == {"R2/train", "R2/dev"}
        assert summary["diagnosis"] is None, "nobody said how much of the spread can be explained"

    def test_second_run_gets_a_number(self, parity: Parity) -> None:
        parity(*MOONS)
        before = _everything()
        parity(*MOONS)
        assert sorted(p.name for p in Path("runs").iterdir()) == ["moons", "moons-2"]
        assert _everything().items() >= before.items(), "the first run was touched"

    @pytest.mark.parametrize("name", ["mine[old].csv", "..csv", "my own.csv", "a[/b].csv"])
    def test_strange_file_names(self, parity: Parity, name: str) -> None:
        """The run gets a folder of its own, and brackets are no markup but a part of the name."""
        ended = parity("train", "--data", _write(name, TABLE), "--target", "y", *TINY)
        assert ended.status == 0
        assert f"{name}: " in ended.out
        (folder,) = Path("runs").iterdir()
        assert (folder / "summary.json").is_file()

    def test_one_dev_sample_of_numbers(self, parity: Parity) -> None:
        """R2 divides by the variance of dev, here 0: refuse, or say that there is none."""
        rows = "".join(f"{i},{-i},{i / 3}\n" for i in range(5))
        ended = parity("train", "--data", _write("mine.csv", f"a,b,y\n{rows}"), "--target", "y")
        assert ended.status in (0, 2)
        if ended.status == 0:
            assert "inf" not in ended.out
            assert _strict_json(Path("runs/mine/summary.json"))["passed"] is True

    def test_one_number_to_predict_in_train(self, parity: Parity) -> None:
        """The same for train, where the file itself says which samples those are."""
        arrays = {"train_X": ROWS, "train_Y": LABELS * 0 + 0.5, "test_X": ROWS, "test_Y": LABELS}
        path = _write("mine.npz", arrays)
        ended = parity("train", "--data", path, "--target", "train_Y", *TINY)
        assert ended.status in (0, 2)
        if ended.status == 0:
            assert "inf" not in ended.out
            assert _strict_json(Path("runs/mine/summary.json"))["passed"] is True

    @pytest.mark.parametrize("loss", ["binary_cross_entropy", "cross_entropy", "mse_loss"])
    @pytest.mark.parametrize("lr", ["1e30", "1e308"])
    def test_diverging_run_fails_in_good_order(self, parity: Parity, loss: str, lr: str) -> None:
        """Too great an lr is the user's doing: a verdict, status 1, all files, and nobody blamed
        whose arithmetic is right."""
        steps = ("--steps", "30", "--log-every", "1")
        ended = parity(*MOONS, *steps, "--loss", loss, "--lr", lr, "--p", "0")
        assert ended.status == 1
        assert "FAIL" in ended.out
        summary = _strict_json(Path("runs/moons/summary.json"))
        assert summary["passed"] is False
        assert summary["failure"]["difference"]["verdict"] == "not finite"
        (verdict,) = (line for line in ended.out.splitlines() if line.startswith("FAIL"))
        assert re.search(r"finite|diverge", verdict)
        assert "wrong" not in verdict


class TestInstalledCommand:
    """The same through the entry point, with Python's own exit and streams."""

    @staticmethod
    def run(folder: Path, *args: str) -> Ended:
        command = Path(sys.executable).with_name("parity")
        ended = subprocess.run(
            [str(command), *args], cwd=folder, capture_output=True, text=True, timeout=120
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def test_bad_option(self, tmp_path: Path) -> None:
        assert "p is '1'" in refusal(self.run(tmp_path, *MOONS, "--p", "1"))
        assert list(tmp_path.iterdir()) == []

    def test_bad_data(self, tmp_path: Path) -> None:
        (tmp_path / "mine.csv").write_text("a,b,y\n1,2,0\n3,oops,1\n")
        ended = self.run(tmp_path, "train", "--data", "mine.csv", "--target", "y", *TINY)
        assert "'oops'" in refusal(ended)
        assert [p.name for p in tmp_path.iterdir()] == ["mine.csv"]

    def test_good_run(self, tmp_path: Path) -> None:
        ended = self.run(tmp_path, *MOONS, "--quiet")
        assert ended.status == 0
        assert "PASS" in ended.out
        assert ended.err.strip() == ""
        assert _strict_json(tmp_path / "runs/moons/summary.json")["passed"] is True
