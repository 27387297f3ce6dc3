"""What is installed: one import name, everything that belongs to it and nothing else, and that it
works for a project which has a compare.py, a manual.py and lessons of its own."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

import torch_parity

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
VERSION = PYPROJECT["project"]["version"]
FOLDERS = PYPROJECT["tool"]["setuptools"]["package-dir"]
LISTED = PYPROJECT["tool"]["setuptools"]["packages"]
NOT_SHIPPED = ("tests", "benchmarks", "book", "docs", "examples", "runs")


def installed_files(root: Path, folders: dict[str, str]) -> set[str]:
    """Where each file of the packages lies once it is installed."""
    return {
        f"{package.replace('.', '/')}/{path.relative_to(root / folder).as_posix()}"
        for package, folder in folders.items()
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name[0] != "."
    }


def packages(files: set[str]) -> set[str]:
    """The packages of these files: each folder with Python in it, whether or not it has an
    __init__.py."""
    return {file.rpartition("/")[0].replace("/", ".") for file in files if file.endswith(".py")}


def without_init(files: set[str]) -> set[str]:
    """The packages that have no __init__.py."""
    return {p for p in packages(files) if f"{p.replace('.', '/')}/__init__.py" not in files}


def faults(inside: set[str], expected: set[str]) -> list[str]:
    """What is wrong with the files of a wheel."""
    files = {file for file in inside if not file.split("/")[0].endswith(".dist-info")}
    tops = {file.split("/")[0] for file in files} - {"torch_parity"}
    return [
        *(f"another import name: {top}" for top in sorted(tops)),
        *(f"missing: {file}" for file in sorted(expected - files)),
        *(f"not of the project: {file}" for file in sorted(files - expected)),
    ]


FILES = installed_files(ROOT, FOLDERS)


class TestTheList:
    def test_pyproject_lists_each_package_of_the_tree(self) -> None:
        assert set(LISTED) == packages(FILES)
        assert len(LISTED) == len(set(LISTED))

    def test_each_package_has_its_init(self) -> None:
        assert without_init(FILES) == set()

    def test_what_is_no_python_is_there_as_well(self) -> None:
        others = {file for file in FILES if not file.endswith(".py")}
        templates = "torch_parity/compare/show/templates/report"
        assert {"torch_parity/py.typed", f"{templates}.html", f"{templates}.css"} <= others

    def test_each_folder_with_an_init_is_in_a_package_or_known_not_to_be(self) -> None:
        tops = {path.parent.name for path in ROOT.glob("*/__init__.py")}
        assert tops - set(NOT_SHIPPED) == set(FOLDERS.values()) - {"src/torch_parity"}

    @pytest.mark.parametrize("init", [True, False])
    def test_a_package_that_nobody_listed_is_seen(self, tmp_path: Path, init: bool) -> None:
        for folder in ("", "ops", "ops/fused"):
            (tmp_path / "manual" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "manual" / folder / "relu.py").touch()
            if init or folder != "ops/fused":
                (tmp_path / "manual" / folder / "__init__.py").touch()
        found = installed_files(tmp_path, {"torch_parity.manual": "manual"})
        assert "torch_parity.manual.ops.fused" in packages(found)
        assert without_init(found) == (set() if init else {"torch_parity.manual.ops.fused"})

    def test_the_version_stands_in_one_place(self) -> None:
        code = [ROOT / path for path in ("benchmarks", "book", *FOLDERS.values())]
        stated = re.compile(rf"__version__\s*(:\s*\w+\s*)?=|[\"']{re.escape(VERSION)}[\"']")
        assert stated.search(f'VERSION = "{VERSION}"')
        assert stated.search('__version__ = "9"')
        files = sorted({path for folder in code for path in folder.rglob("*.py")})
        assert [f for f in files if stated.search(f.read_text("utf-8"))] == []
        assert torch_parity.__version__ == VERSION, "install again: the version has changed"


class TestFaultsOfAWheel:
    """That `faults` sees each of them."""

    def test_none(self) -> None:
        assert faults({*FILES, "torch_parity-1.dist-info/METADATA"}, FILES) == []

    @pytest.mark.parametrize(
        ("lost", "file"),
        [
            (True, "torch_parity/py.typed"),
            (True, "torch_parity/compare/show/templates/report.html"),
            (True, "torch_parity/manual/ops/__init__.py"),
            (False, "torch_parity/manual/ops/test_relu.py"),
        ],
    )
    def test_a_file_that_is_missing_or_too_many(self, lost: bool, file: str) -> None:
        inside = FILES - {file} if lost else FILES | {file}
        assert inside != FILES
        what = "missing" if lost else "not of the project"
        assert faults(inside, FILES) == [f"{what}: {file}"]

    @pytest.mark.parametrize("file", ["compare.py", "tests/__init__.py", "benchmarks/faults.py"])
    def test_a_second_import_name(self, file: str) -> None:
        top = file.split("/")[0]
        assert f"another import name: {top}" in faults({*FILES, file}, FILES)


class TestBeforeFirstUse:
    """Each in a process of its own: here everything is imported already."""

    def test_dir_shows_every_public_name(self) -> None:
        code = (
            "import torch_parity as t; print(sorted(set(t.__all__) - set(dir(t))), len(t.__all__))"
        )
        assert python(code) == f"[] {len(torch_parity.__all__)}"

    def test_the_import_brings_neither_torch_nor_numpy(self) -> None:
        assert python(f"import torch_parity; {HEAVY}") == "[]"

    def test_nor_does_the_pytest_plugin(self) -> None:
        assert python(f"import torch_parity.compare.pytest_plugin; {HEAVY}") == "[]"

    def test_a_name_that_computes_brings_them(self) -> None:
        assert python(f"from torch_parity import check; {HEAVY}") == "['numpy', 'torch']"

    @pytest.mark.parametrize("command", ["faults", "lesson"])
    def test_a_list_does_not_wait_for_torch(self, command: str) -> None:
        imported = "from torch_parity.compare.cli import parity"
        listed = f"parity(['{command}'], standalone_mode=False)"
        assert python(f"{imported}; {listed}; {HEAVY}").splitlines()[-1] == "['numpy']"


HEAVY = "import sys; print([name for name in ('numpy', 'torch') if name in sys.modules])"


def python(code: str) -> str:
    """What it prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class TestWithoutAnInstall:
    """In the repository, with all that the package depends on, before `pip install`."""

    @pytest.mark.parametrize("name", ["compare.cli", "manual", "torch_ref.models.mlp", "lessons"])
    def test_a_folder_of_the_repository_cannot_be_imported(self, name: str) -> None:
        error = "ModuleNotFoundError: No module named 'torch_parity'"
        assert not_installed(ROOT, name) == error

    def test_src_is_an_empty_shell_and_says_what_to_do(self) -> None:
        assert not_installed(ROOT / "src", "torch_parity") == (
            "ImportError: torch_parity is not installed, only its folder is on the path: run "
            "`pip install --editable .` in the repository"
        )

    def test_with_its_parts_beside_it_the_same_import_succeeds(self, tmp_path: Path) -> None:
        for package, folder in sorted(FOLDERS.items()):
            shutil.copytree(ROOT / folder, tmp_path / package.replace(".", "/"))
        assert not_installed(tmp_path, "torch_parity") == ""


def dependencies() -> list[str]:
    """The folders of installed packages that this process sees. Put on a path as they are, no .pth
    in them counts, and an editable install of this very package is a .pth."""
    found = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    assert found
    return found


def not_installed(folder: Path, name: str) -> str:
    """The last line of what importing a name says, where torch_parity can be in a folder alone."""
    path = [str(folder), *(p for p in dependencies() if not Path(p, "torch_parity").exists())]
    code = f"import sys; sys.path[:0] = {path}; import {name}"
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert (ran.returncode == 0) == (ran.stderr == "")
    return "".join(ran.stderr.splitlines()[-1:])


class Built(NamedTuple):
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel that is built from it. Of a copy of the checkout: setuptools writes
    into the folder that it builds, and would take old files from there."""
    checkout, out = tmp_path_factory.mktemp("checkout") / "copy", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, checkout, ignore=made_here)
    said = run([sys.executable, "-m", "build", "--outdir", out, "."], checkout)
    assert "Deprecat" not in said
    assert "absent from the `packages` configuration" not in said
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(wheel, sdist)


def made_here(folder: str, names: list[str]) -> list[str]:
    """What a checkout holds that no commit does."""
    made = [name for name in names if name == "__pycache__" or name.endswith(".egg-info")]
    if Path(folder) == ROOT:
        made += [name for name in names if name[0] == "." or name in ("build", "runs")]
    return made


@pytest.fixture(scope="module")
def clean(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin/ of an environment into which the wheel is installed. What the wheel depends on is
    read from where this process has it: a gigabyte need not be installed again."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", folder], ROOT)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "shared.pth").write_text("".join(f"{path}\n" for path in dependencies()))
    install = ["install", "--quiet", "--no-deps", "--no-index", built.wheel]
    run([sys.executable, "-m", "pip", "--python", folder / "bin" / "python", *install], ROOT)
    where = run([folder / "bin" / "python", "-c", WHERE], folder).split()
    assert where == [str(site / "torch_parity" / "__init__.py"), VERSION]
    return folder / "bin"


WHERE = "import torch_parity as t; print(t.__file__, t.__version__)"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of somebody else, whose modules are called like our folders."""
    for path, text in STRANGER.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
    return tmp_path


STRANGER = {
    "compare.py": "def check():\n    return 'my compare'\n",
    "manual.py": "relu = 'my manual'\n",
    "torch_ref.py": "relu = 'my torch_ref'\n",
    "lessons/__init__.py": "LESSONS = 'my lessons'\n",
    "tests/test_mine.py": """\
import sys

import compare
import lessons
import manual
import torch_ref


def test_mine():
    assert compare.check() == "my compare"
    assert (manual.relu, torch_ref.relu) == ("my manual", "my torch_ref")
    assert lessons.LESSONS == "my lessons"


def test_the_plugin_is_there_and_has_imported_nothing_heavy(request):
    assert request.config.pluginmanager.has_plugin("torch_parity")
    assert not {"numpy", "torch"} & set(sys.modules)
""",
    "tests/test_parity.py": """\
import numpy as np
import pytest
import torch_parity


def made(start):
    z1 = start["x"] @ start["W1"].T + start["b1"]
    return {"z1": z1, "a1": np.maximum(z1, 0)}


def test_right(parity):
    case = parity.Case(data="moons", hidden=(5,), p=0)
    start = parity.given(case)
    torch_parity.assert_parity(made(start), start)


def test_wrong(parity):
    start = parity.given(parity.Case(data="moons", hidden=(5,), p=0))
    wrong = made(start) | {"a1": start["x"] @ start["W1"].T}
    with pytest.raises(AssertionError, match="First wrong: mine's relu -> a1"):
        torch_parity.assert_parity(wrong, start)
""",
}


@pytest.mark.slow
class TestTheWheel:
    def test_it_holds_the_package_and_nothing_else(self, built: Built) -> None:
        assert built.wheel.name == f"torch_parity-{VERSION}-py3-none-any.whl"
        with zipfile.ZipFile(built.wheel) as wheel:
            assert faults(set(wheel.namelist()), FILES) == []

    def test_the_sdist_has_no_tests_no_site_no_benchmarks(self, built: Built) -> None:
        with tarfile.open(built.sdist) as sdist:
            inside = {name.partition("/")[2] for name in sdist.getnames()}
        tops = {name.split("/")[0] for name in inside}
        assert {"README.md", "pyproject.toml", "src", "compare", "manual", "torch_ref"} <= tops
        assert tops & set(NOT_SHIPPED) == set()

    def test_a_stranger_tests_modules_that_are_called_like_our_folders(
        self, clean: Path, project: Path
    ) -> None:
        said = run([clean / "python", "-m", "pytest", *PLAIN, "tests/test_mine.py"], project)
        assert "2 passed" in said

    def test_a_stranger_uses_the_fixture(self, clean: Path, project: Path) -> None:
        said = run([clean / "python", "-m", "pytest", *PLAIN, "tests/test_parity.py"], project)
        assert "2 passed" in said

    def test_the_command(self, clean: Path, project: Path) -> None:
        assert "Usage: parity" in run([clean / "parity", "--help"], project)
        assert run([clean / "parity", "--version"], project).split()[-1] == VERSION
        as_module = [clean / "python", "-m", "torch_parity", "--version"]
        assert run(as_module, project).split()[-1] == VERSION
        small = ["--data", "moons", "--hidden", "5", "--steps", "3"]
        assert "PASS" in run([clean / "parity", "check", *small], project)

    def test_what_the_command_reads_beside_its_code(self, clean: Path, project: Path) -> None:
        small = ["--data", "moons", "--hidden", "5", "--steps", "3"]
        run([clean / "parity", "train", *small, "--name", "kept"], project)
        run([clean / "parity", "report", "kept"], project)
        assert list((project / "runs" / "kept").glob("*.html"))
        assert "dropout" in run([clean / "parity", "lesson"], project)


PLAIN = ("-p", "no:cacheprovider", "-W", "error")


@pytest.mark.slow
class TestTypes:
    """mypy --strict in the project of somebody else, where the wheel is installed."""

    def test_right_and_wrong_uses(self, clean: Path, project: Path) -> None:
        (project / "right.py").write_text(RIGHT, "utf-8")
        (project / "wrong.py").write_text(WRONG, "utf-8")
        command = [clean / "python", "-m", "mypy", "--strict", "right.py", "wrong.py"]
        ran = subprocess.run(
            command, cwd=project, env=plain_environment(), capture_output=True, text=True
        )
        errors = [line for line in ran.stdout.splitlines() if ": error:" in line]
        assert {line.split(":")[0] for line in errors} == {"wrong.py"}, ran.stdout
        found = {int(line.split(":")[1]): line.rpartition("[")[2] for line in errors}
        expected = {n: line for n, line in enumerate(WRONG.splitlines(), 1) if "# " in line}
        assert found == {n: f"{line.rpartition('# ')[2]}]" for n, line in expected.items()}


RIGHT = """\
import numpy as np
import torch_parity as tp
from torch import nn, ones

version: str = tp.__version__
usual = tp.Case()
case = tp.Case(data="moons", hidden=(4,), activation="tanh", p=0)
start = tp.given(case, layout=tp.COURSE)
report = tp.check({"z1": np.ones((3, 4))}, start, ignore=["z1"])
passed: bool = report.passed
verdict: str = report.verdict
tp.check_modules(nn.Linear(2, 3), nn.Linear(2, 3), ones(5, 2)).require()
tp.check_module(nn.Linear(2, 3), {"z": np.ones((5, 3))}, ones(5, 2))
tp.check_gradient(np.tanh, lambda da, z: da * (1 - np.tanh(z) ** 2), {"z": np.ones(3)}, np.ones(3))
tp.assert_parity({}, case)
"""
# A comment names the error of its line.
WRONG = """\
import torch_parity as tp

case = tp.Case(data="moons", activation="tanh")
tp.check(3, case)  # arg-type
tp.check({}, 4)  # arg-type
tp.given("moons")  # arg-type
tp.check_modules(case, case)  # arg-type
tp.Case(reduction="average")  # arg-type
tp.check({}, case).pased  # attr-defined
tp.chek({}, case)  # attr-defined
number: int = tp.__version__  # assignment
"""


def run(command: list[str | Path], cwd: Path) -> str:
    """What a command printed; it must leave with 0."""
    ran = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=plain_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def plain_environment() -> dict[str, str]:
    """This one, without what would bring the checkout, or options of this run, into another."""
    ours = ("PYTHONPATH", "PYTEST_ADDOPTS", "MYPYPATH")
    return {name: value for name, value in os.environ.items() if name not in ours}
