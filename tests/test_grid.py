"""A grid is the product of its lists, each case is judged as by `parity check`, and nothing is lost
or judged twice, however often the sweep is stopped."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from tests.command import Ended, parity, refusal
from tests.golden_text import Golden
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.case import load as load_case
from torch_parity.compare.cli.check import check
from torch_parity.compare.commands import grid as command
from torch_parity.compare.errors import InputError
from torch_parity.compare.grid import cases, outcome
from torch_parity.compare.grid.fingerprint import fingerprint
from torch_parity.compare.grid.outcome import Outcome, judge_all
from torch_parity.compare.grid.workers import Chunks, Workers
from torch_parity.compare.show import progress
from torch_parity.compare.sources.sides import ManualSide

EXAMPLE = Path(__file__).parents[1] / "examples" / "grid.toml"
SMALL = (
    'data = "moons"\nsamples = 40\nhidden = [3]\nbatch = 9\nbias_scale = 0.5\np = 0.3\nl1 = 0.1\n'
)
GRID = SMALL + 'activation = ["relu", "tanh"]\noptimizer = ["sgd", "adam"]\nrepeats = 3\n'
QUICK = GRID.replace("[3]", "[]") + "steps = 1\n"
SEED = int(np.random.SeedSequence().entropy) % 2**32


@dataclass
class Bench:
    """judged are the numbers of the cases that were judged, in order."""

    run: Callable[..., Ended]
    judged: list[int]

    def results(self, path: str = "runs/grid.jsonl") -> dict[int, dict[str, Any]]:
        """The lines of a result file, each case once; without the time that each took."""
        lines = [json.loads(line) for line in Path(path).read_text().splitlines()[1:]]
        found = {line["case"]: line for line in lines}
        assert len(found) == len(lines), "a case stands there twice"
        return {n: {k: v for k, v in line.items() if k != "seconds"} for n, line in found.items()}


@pytest.fixture
def bench(parity: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The command in its own folder; the cases are judged in this process, which has torch."""
    judged: list[int] = []

    @contextmanager
    def here(chunks: Chunks, made_with: dict[str, str]) -> Iterator[Workers]:
        def found() -> Iterator[list[Outcome]]:
            for chunk in chunks:
                judged.extend(n for n, _ in chunk)
                yield judge_all(chunk, made_with)

        yield Workers(1, found())

    def run(text: str, *args: str) -> Ended:
        Path("grid.toml").write_text(text)
        return parity("check", "--grid", "grid.toml", *args)

    monkeypatch.setattr(command, "all_cores", here)
    return Bench(run, judged)


class TestCases:
    def load(self, tmp_path: Path, text: str, **given: Any) -> cases.Grid:
        file = tmp_path / "mine.toml"
        file.write_text(text)
        return cases.load(file, **given)

    def test_is_the_product_of_its_lists(self, tmp_path: Path) -> None:
        text = (
            'hidden = [[5, 4], []]\nlr = [0.1, 0.01, 0.02]\nseed = 7\nrepeats = 2\ndata = "moons"'
        )
        grid = self.load(tmp_path, text)
        expected = [
            Case(data="moons", hidden=h, lr=lr, seed=s, steps=3, log_every=1)
            for s in (7, 8)
            for h in ((5, 4), ())
            for lr in (0.1, 0.01, 0.02)
        ]
        assert list(grid.cases.values()) == expected
        assert grid.options[3] == {"seed": 7, "hidden": [], "lr": 0.1}

    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("[5, 4]", [(5, 4)]),
            ("[]", [()]),
            ('["5,4", "", "3"]', [(5, 4), (), (3,)]),
            ("[[5, 4], [3]]", [(5, 4), (3,)]),
        ],
    )
    def test_hidden(self, tmp_path: Path, written: str, read: list[tuple[int, ...]]) -> None:
        grid = self.load(tmp_path, f"hidden = {written}")
        assert [case.hidden for case in grid.cases.values()] == read

    def test_options_win(self, tmp_path: Path) -> None:
        grid = self.load(tmp_path, "lr = [0.1, 0.2]\nsteps = 5\nrepeats = 2", lr="0.3", seed="4")
        assert [(c.lr, c.steps, c.seed) for c in grid.cases.values()] == [(0.3, 5, 4), (0.3, 5, 5)]

    def test_the_example_is_ten_thousand_cases(self) -> None:
        grid = cases.load(EXAMPLE)
        assert len(grid.cases) == 10_000
        assert not grid.refused
        drawn = np.random.default_rng(SEED).choice(10_000, 8, replace=False)
        found = judge_all([(int(n), grid.cases[int(n)]) for n in drawn], fingerprint())
        assert [o.detail for o in found if o.verdict != "passed"] == [], f"seed {SEED}"

    def test_the_command_to_rerun_is_the_case(self, tmp_path: Path) -> None:
        """Parsed by the command line, with no option at its default."""
        text = (
            'hidden = ["5,4", ""]\nstandardize = [true, false]\nnegative_slope = [-0.5, 0.1]\n'
            'loss = "mse_loss"\noutput = "tanh"\nnoise = 0.3\nsteps = [3, 500]\nlog_every = [1, 10]'
            '\nl2_route = "loss"\neps = 1e-9\ndata = "my moons.csv"\ntarget = "y"'
        )
        for case in self.load(tmp_path, text).cases.values():
            words = shlex.split(shlex.join(cases.rerun(case)))
            assert words[:2] == ["parity", "check"]
            given = check.make_context("check", words[2:]).params
            options = {n: v for n, v in given.items() if n in Case.model_fields and v is not None}
            assert load_case(**({"steps": 3, "log_every": 1} | options)) == case


class TestBadInput:
    @pytest.mark.parametrize(
        "line",
        [
            "stepz = 5",
            "repeat = 5",
            "lr = []",
            "lr = [0.1, 0]",
            'lr = [0.1, "fast"]',
            "lr = [0.1, [0.2]]",
            "lr = [0.1, true]",
            "lr = [0.1, 0.1]",
            'hidden = ["5,4", [5, 4]]',
            "hidden = [[5, 0]]",
            'loss = ["mse_loss", "mse"]',
            "repeats = 0",
            "repeats = 2.5",
            "repeats = [1, 2]",
            "repeats = 2\nseed = [0, 5]",
            'repeats = 2\nseed = "x"',
            f"repeats = 2\nseed = {2**63 - 1}",
            "repeats = 2000000",
            "threads = [1, 2]",
            'loss = "cross_entropy"\noutput = ["tanh", "relu"]',
            "lr = ",
        ],
    )
    def test_file(self, bench: Bench, line: str, golden: Golden) -> None:
        golden.section("grid", refusal(bench.run(line)))
        assert [p.name for p in Path().iterdir()] == ["grid.toml"]

    @pytest.mark.parametrize("name", ["mons", "gone.csv"])
    def test_data_that_are_none(self, bench: Bench, name: str) -> None:
        ended = bench.run(f'data = ["moons", "{name}"]')
        assert ended.status == 2
        assert name in ended.err
        assert [p.name for p in Path().iterdir()] == ["grid.toml"]

    def test_contradictions_that_only_the_data_show(self, bench: Bench, golden: Golden) -> None:
        ended = bench.run('data = "moons"\nloss = "mse_loss"\noutput = "softmax"')
        assert (ended.status, ended.out) == (2, "")
        golden.section("grid", ended.err)

    @pytest.mark.parametrize(
        "args",
        [
            ("--grid", "a.toml", "--case", "b.toml"),
            ("--out", "a.jsonl"),
            ("--cluster", "tcp://a:1"),
        ],
    )
    def test_options(
        self,
        args: tuple[str, ...],
        parity: Callable[..., Ended],
        golden: Golden,
    ) -> None:
        golden.section("grid", refusal(parity("check", *args)))


class TestVerdict:
    def test_all_pass(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(progress, "EVERY", 0)
        ended = bench.run(GRID)
        assert ended.status == 0
        assert "PASS 12 cases" in ended.out
        assert re.search(r"12 cases in .* s on 1 core: .* cases per second and core", ended.out)
        assert [r["verdict"] for r in bench.results().values()] == ["passed"] * 12
        assert ended.err.splitlines()[-1] == "judging cases: 12 of 12"

    def test_a_mistake_is_found_where_it_is(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Planted for tanh only: those cases fail, by operation, cause and side, with a command."""
        right = ManualSide.step

        def twice_the_lambda(self: ManualSide, *args: Any) -> Any:
            if self.net.activation == "tanh":
                net = replace(self.net, l1=2 * self.net.l1, l2=2 * self.net.l2)
                self = replace(self, net=net)
            return right(self, *args)

        monkeypatch.setattr(ManualSide, "step", twice_the_lambda)
        ended = bench.run(GRID)
        assert ended.status == 1
        assert "FAIL 6 of 12 cases did not pass" in ended.out
        results = bench.results()
        wrong = {n for n, r in results.items() if r["verdict"] == "failed"}
        assert wrong == {n for n, r in results.items() if r["options"]["activation"] == "tanh"}
        for n in wrong:
            assert results[n]["side"] == "manual"
            assert results[n]["operation"] == "penalty"
            assert "lambda_doubled" in results[n]["cause"]
            assert results[n]["step"] == 1
        (example,) = re.findall(r"^ +(parity check .*)$", ended.out, re.M)
        assert "--activation=tanh" in example
        assert parity(*shlex.split(example)[1:]).status == 1

    def test_an_exception_stays_with_its_case(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        right = ManualSide.step

        def breaks(self: ManualSide, *args: Any) -> Any:
            if self.net.activation == "tanh":
                raise ZeroDivisionError("planted")
            return right(self, *args)

        monkeypatch.setattr(ManualSide, "step", breaks)
        ended = bench.run(GRID)
        assert ended.status == 1
        verdicts = [r["verdict"] for r in bench.results().values()]
        assert (verdicts.count("passed"), verdicts.count("error")) == (6, 6)
        assert "error 6: ZeroDivisionError: planted" in ended.out

    def test_contradictions_are_counted(self, bench: Bench) -> None:
        """A contradiction of options, and an output that does not fit the data."""
        text = SMALL + 'loss = ["binary_cross_entropy", "mse_loss"]\noutput = ["softmax", "tanh"]'
        ended = bench.run(text, "--json")
        assert ended.status == 0
        record = json.loads(ended.out)
        assert record["by_verdict"] == {
            "passed": 1,
            "failed": 0,
            "unjudged": 0,
            "refused": 3,
            "error": 0,
        }
        reasons = {k["kind"] for k in record["kinds"]}
        assert reasons == {
            "output tanh does not fit loss binary_cross_entropy: use sigmoid or softmax",
            "output is softmax, but two classes have one output unit; use sigmoid",
        }

    def test_a_worker_with_other_versions_is_refused(self) -> None:
        case = Case(data="moons", hidden=(3,))
        with pytest.raises(InputError, match=r"torch 1\.0 -> "):
            judge_all([(0, case)], fingerprint() | {"torch": "1.0"})

    def test_threads_of_one_worker_take_turns(self) -> None:
        """As in `dask worker --nthreads 4`: torch draws masks from one generator a process."""
        mine = {"data": "moons", "samples": 40, "batch": 9, "p": 0.5, "steps": 6, "log_every": 1}
        chunks = [[(i, Case(hidden=(6, 4), seed=i, **mine))] for i in range(8)]
        with ThreadPoolExecutor(4) as pool:
            found = [o for done in pool.map(judge_all, chunks, [fingerprint()] * 8) for o in done]
        assert [o.verdict for o in found] == ["passed"] * 8

    @pytest.mark.parametrize("name", ["moons", "digits", "mine.csv"])
    def test_data_are_kept_by_all_that_they_depend_on(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every field that loading reads is part of the key: a forgotten one would judge a case on
        the data of another."""
        monkeypatch.chdir(tmp_path)
        rows = (f"{i / 3},{-i},{i % 2}\n" for i in range(20))
        Path("mine.csv").write_text("a,b,y\n" + "".join(rows))
        seen: set[str] = set()

        class Watched(Case):
            def __getattribute__(self, field: str) -> Any:
                seen.add(field)
                return super().__getattribute__(field)

        chosen = {"target": "y"} if name == "mine.csv" else {}
        case = Watched(data=name, hidden=(3,), **chosen)
        seen.clear()
        data.load(case)
        assert len(seen & set(Case.model_fields)) >= 5
        assert seen & set(Case.model_fields) <= {*outcome.DATA, "loss"}


class TestResults:
    def test_started_again_it_has_nothing_left_to_do(self, bench: Bench) -> None:
        first = bench.run(QUICK)
        again = bench.run(QUICK)
        assert len(bench.judged) == 12
        assert again.status == first.status == 0
        assert "PASS 12 cases" in again.out

    def test_cut_off_anywhere(self, bench: Bench) -> None:
        """As after a killed process or a full disk: each time only the rest is judged."""
        assert bench.run(QUICK).status == 0
        whole, path = bench.results(), Path("runs/grid.jsonl")
        content = path.read_bytes()
        header = content.index(b"\n") + 1
        drawn = np.random.default_rng(SEED).integers(header, len(content), 6)
        for at in (header, len(content) - 1, *drawn.tolist()):
            path.write_bytes(content[:at])
            bench.judged.clear()
            assert bench.run(QUICK).status == 0
            assert bench.results() == whole, f"seed {SEED}, cut at byte {at}"
            left = len(whole) - content[header:at].count(b"\n")
            assert len(set(bench.judged)) == len(bench.judged) == left

    @pytest.mark.parametrize(
        "change",
        [
            lambda t: t.replace('"moons"', '"circles"'),
            lambda t: t + "lr = 0.2",
            lambda t: t.replace("repeats = 3", "repeats = 4"),
        ],
    )
    def test_of_another_grid(self, bench: Bench, change: Any, golden: Golden) -> None:
        bench.run(QUICK)
        before = Path("runs/grid.jsonl").read_bytes()
        golden.section("grid", refusal(bench.run(change(QUICK))))
        assert Path("runs/grid.jsonl").read_bytes() == before

    def test_own_data_that_changed(self, bench: Bench, golden: Golden) -> None:
        rows = [f"{i / 3},{-i},{i % 2}\n" for i in range(40)]
        Path("mine.csv").write_text("a,b,y\n" + "".join(rows))
        text = SMALL.replace('"moons"', '"mine.csv"') + 'target = "y"'
        assert bench.run(text).status == 0
        Path("mine.csv").write_text("a,b,y\n" + "".join(rows[::-1]))
        golden.section("grid", refusal(bench.run(text)))

    def test_of_other_versions(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.run(QUICK)
        monkeypatch.setattr(command, "fingerprint", lambda: fingerprint() | {"sources": "0" * 12})
        assert "sources" in refusal(bench.run(QUICK))

    @pytest.mark.parametrize("content", ["dear to me", "dear to me\n", "{}\n", "[1]\n", ""])
    def test_a_file_of_something_else(self, bench: Bench, content: str, golden: Golden) -> None:
        Path("mine.txt").write_text(content)
        golden.section("grid", refusal(bench.run(QUICK, "--out", "mine.txt")))
        assert Path("mine.txt").read_text() == content

    @pytest.mark.parametrize("line", ["", "{}", '{"case": 3', '{"case": "x", "options": {}}'])
    def test_a_line_that_is_no_result(self, bench: Bench, line: str, golden: Golden) -> None:
        bench.run(QUICK)
        path = Path("runs/grid.jsonl")
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:4], line, *lines[5:], ""]))
        golden.section("grid", refusal(bench.run(QUICK)))

    def test_two_sweeps_at_once(self, bench: Bench, golden: Golden) -> None:
        Path("runs").mkdir()
        with FileLock("runs/grid.jsonl.lock"):
            golden.section("grid", refusal(bench.run(QUICK)))
        assert not Path("runs/grid.jsonl").exists()

    def test_where_nothing_can_be_written(self, bench: Bench, golden: Golden) -> None:
        Path("file").write_text("")
        golden.section("grid", refusal(bench.run(QUICK, "--out", "file/grid.jsonl")))
