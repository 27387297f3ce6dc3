"""What the command line says of itself: whole names at every width, own options first, examples
that can be typed, defaults that are true, and what the shell proposes."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from tests.command import parity as run
from torch_parity.compare.case import CHECKED, Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.cli import parity
from torch_parity.compare.cli.command import Command
from torch_parity.lessons import contents

WIDTHS = (60, 80, 120)
COMMANDS = sorted(parity.commands)


def printed(patch: pytest.MonkeyPatch, width: int, *words: str) -> str:
    """What a command prints on a terminal of this width; no line is longer."""
    patch.setenv("COLUMNS", str(width))
    ended = run(*words)
    assert ended.status == 0
    too_long = [line for line in ended.out.splitlines() if len(line) > width]
    assert too_long == [], width
    return ended.out


def sections(text: str) -> dict[str, str]:
    """The text below each title of a help."""
    found = re.split(r"^(\S[^:\n]*):\n", text, flags=re.M)
    return dict(zip(found[1::2], found[2::2], strict=True))


@pytest.mark.parametrize("width", WIDTHS)
class TestAtEveryWidth:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_the_help_has_each_option_whole(
        self, name: str, width: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = printed(monkeypatch, width, name, "--help")
        flags = {f for p in parity.commands[name].params for f in (*p.opts, *p.secondary_opts)}
        assert {f for f in flags if f.startswith("--")} <= set(re.findall(r"--[a-z0-9-]+", text))

    def test_each_list_has_its_names_whole_and_first(
        self, width: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for words, names in (
            (["faults"], set(CATALOGUE)),
            (["lesson"], {name for name, *_ in contents()}),
            (["--help"], set(COMMANDS)),
        ):
            text = printed(monkeypatch, width, *words)
            assert names <= {line.split()[0] for line in text.splitlines() if line.strip()}
            assert "…" not in text, "an ellipsis hides what does not fit"
            assert "..." not in text.partition("Commands:")[2]

    def test_each_table_of_tensors_has_their_names(
        self, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.chdir(tmp_path)
        small = ("--data", "moons", "--samples", "20", "--hidden", "2", "--steps", "1")
        for command, names in (
            ("check", {"z1", "a1", "dW2_loss", "vW1"}),
            ("train", {"z1-2", "a1-2", "dW1-2_loss", "vW1-2"}),
            ("gradcheck", {"manual", "torch"}),
        ):
            shown = run(command, *small).out
            first = {line.split()[0] for line in shown.splitlines() if line.strip()}
            assert names <= first, command


def test_each_lesson_is_listed_with_a_whole_sentence() -> None:
    assert [line for _, line, _ in contents() if not line.endswith(".")] == []


@pytest.mark.parametrize("name", COMMANDS)
class TestEachHelp:
    def test_own_options_come_first_then_groups_then_examples(self, name: str) -> None:
        found = sections(run(name, "--help").out)
        titles = list(found)
        assert titles[0] == "Options"
        assert titles[-1] == "Examples"
        assert "--help" in found["Options"]
        if len(titles) > 2:  # it takes a case
            own = set(re.findall(r"^  (--[a-z0-9-]+)", found["Options"], re.M))
            assert own & {f"--{field.replace('_', '-')}" for field in Case.model_fields} == set()

    def test_the_examples_can_be_typed(self, name: str) -> None:
        command = parity.commands[name]
        assert isinstance(command, Command)
        assert command.examples
        for _, line in command.examples:
            program, called, *words = shlex.split(line)
            assert (program, called) == ("parity", name)
            assert len(line) <= 56, "it does not fit on 60 columns"
            command.make_context(name, words)  # raises for an unknown option


class TestStepsOfCheck:
    @staticmethod
    def judged(*words: str) -> int:
        small = ("--data", "moons", "--samples", "20", "--hidden", "2", "--json")
        step = json.loads(run("check", *small, *words).out)["step"]
        assert isinstance(step, int)
        return step

    def test_the_default_in_the_help_is_true(self) -> None:
        text = " ".join(run("check", "--help").out.split())
        (shown,) = re.findall(r"--steps INTEGER [^\[]*\[default: (\d+)\]", text)
        assert int(shown) == self.judged() == CHECKED["steps"]

    def test_those_of_a_case_file_count(self, tmp_path: Path) -> None:
        file = tmp_path / "case.toml"
        file.write_text("steps = 5\n", "utf-8")
        assert self.judged("--case", str(file)) == 5
        assert self.judged("--case", str(file), "--steps", "2") == 2


def proposed(typed: str) -> set[str]:
    """What bash is offered for the last word of a line."""
    words = shlex.split(typed) + ([""] if typed.endswith(" ") else [])
    completion = BashComplete(parity, {}, "parity", "_PARITY_COMPLETE")
    return {item.value for item in completion.get_completions(words[1:-1], words[-1])}


class TestCompletion:
    @pytest.mark.parametrize(
        ("typed", "expected"),
        [
            ("parity tra", {"train", "train-modules"}),
            ("parity check --optimizer ada", {"adam", "adamw"}),
            ("parity check --dtype float", {"float64", "float32", "float16"}),
            ("parity train --l2", {"--l2", "--l2-route"}),
            ("parity lesson bias", {"bias-variance"}),
            ("parity faults bias_m", {"bias_missing"}),
        ],
    )
    def test_of_names(self, typed: str, expected: set[str]) -> None:
        assert proposed(typed) == expected

    def test_of_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("moons", "digits", "digits-2", "notes"):
            (tmp_path / "runs" / name).mkdir(parents=True)
            if name != "notes":
                (tmp_path / "runs" / name / "case.toml").touch()
        for typed in ("train --resume", "report", "board", "runs --remove"):
            assert proposed(f"parity {typed} dig") == {"digits", "digits-2"}, typed
        assert proposed("parity report --runs elsewhere ") == set()

    def test_in_bash(self, tmp_path: Path) -> None:
        """The line of docs/how-to/command-line.md, in a shell."""
        page = Path(__file__).parents[1] / "docs" / "how-to" / "command-line.md"
        (line,) = re.findall(r"^ +(eval .*bash_source.*)$", page.read_text("utf-8"), re.M)
        asked = "COMP_WORDS=(parity lesson bias); COMP_CWORD=2"
        script = f"{line}; {asked}; _parity_completion parity; echo ${{COMPREPLY[@]}}"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        answer = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert (answer.stdout, answer.stderr) == ("bias-variance\n", "")


def test_no_group_of_options_is_empty() -> None:
    """A field that was renamed would leave its group's options to the group before."""
    from torch_parity.compare.cli.case_options import GROUPS

    assert set(GROUPS) <= set(Case.model_fields)
    assert isinstance(parity, click.Group)


@pytest.mark.parametrize("page", ["command-line.md", "command-line.zh.md"])
@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_the_page_lists_the_commands_that_have_an_option(page: str, option: str) -> None:
    text = (Path(__file__).parents[1] / "docs" / "how-to" / page).read_text("utf-8")
    (cell,) = re.findall(rf"^\| `{option}` \| (.*?) \|", text, re.M)
    having = {n for n in COMMANDS if any(option in p.opts for p in parity.commands[n].params)}
    assert set(re.findall(r"`([\w-]+)`", cell)) == having
