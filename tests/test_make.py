"""`make demo` and `make test` say in one line what they install; pip's own words are kept in a log,
of which an error shows the end."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# In the place of `python3 -m venv .venv`: an environment whose commands only print.
VENV = """#!/bin/sh
mkdir -p .venv/bin
for name in parity ruff mypy pytest; do
    printf '#!/bin/sh\\necho %s ran\\n' $name > .venv/bin/$name
done
cat > .venv/bin/pip <<'END'
#!/bin/sh
case "$*" in *--target*) exit 0 ;; esac
for n in $(seq 200); do echo "Collecting package-$n"; done
exit $PIP_STATUS
END
chmod +x .venv/bin/*
"""


def make(folder: Path, target: str, pip: int) -> subprocess.CompletedProcess[str]:
    """Run the Makefile in a folder of its own, where pip ends with this status."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(
            ROOT / name, folder
        )  # as old as it is: nothing is newer than what is installed
    (folder / "python").write_text(VENV)
    (folder / "python").chmod(0o755)
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # of the make that may have started the tests
    clean = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(
        ["make", target, "PYTHON=./python"],
        cwd=folder,
        env={**clean, "PIP_STATUS": str(pip)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("target", "first", "installs"), [("demo", "parity", 1), ("test", "ruff", 2)]
)
def test_one_line_each_before_the_first_result(
    tmp_path: Path, target: str, first: str, installs: int
) -> None:
    ended = make(tmp_path, target, pip=0)
    assert ended.returncode == 0, ended.stdout
    lines = ended.stdout.splitlines()
    before = lines[: lines.index(f"{first} ran")]
    said, started = before[:installs], before[installs:]
    assert [line for line in said if line.startswith("Installing ")] == said
    assert len(started) == 1
    assert started[0].startswith(f".venv/bin/{first} ")
    assert "Collecting" not in ended.stdout
    assert "Collecting package-200" in (tmp_path / ".venv/install.log").read_text()
    again = make(tmp_path, target, pip=0).stdout
    assert "Installing" not in again


def test_an_error_names_the_log_and_shows_its_end(tmp_path: Path) -> None:
    ended = make(tmp_path, "demo", pip=1)
    assert ended.returncode != 0
    assert "parity ran" not in ended.stdout
    assert "Collecting package-200" in ended.stdout
    assert "Collecting package-100\n" not in ended.stdout
    assert "the whole output is in .venv/install.log" in ended.stdout
    assert "Installing" in make(tmp_path, "demo", pip=0).stdout, "what failed is tried again"
