"""The folder of a run. A name belongs to one run, so that logs are never mixed."""

import itertools
import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from torch_parity.compare.errors import InputError, has_control_characters, suggest
from torch_parity.compare.runs.answers import is_run


def create(
    root: Path, name: str | None, default: str, options: tuple[str, str] = ("--name", "--runs")
) -> Path:
    """A new, empty folder root/name; without a name, default or the next free default-2, -3...
    options are what a caller knows name and root by.

    Raises:
        InputError: the name is taken or not valid, or the folder cannot be written.
    """
    named, rooted = options
    if name is not None and not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise InputError(
            f"{named} is {name!r}; expected up to 100 letters, digits, '.', '_' and '-', starting "
            "with a letter, digit or '_'"
        )
    for candidate in [name] if name is not None else _names(default):
        try:
            (root / candidate).mkdir(parents=True)
            return root / candidate
        except FileExistsError:
            if name is not None or not root.is_dir():
                break
        except OSError as error:
            raise InputError(f"{root} cannot be written: {error.strerror}; give {rooted}") from None
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give another one with {rooted}")
    removing = ["parity", "runs", "--remove", str(name)]
    removing += ["--runs", str(root)] if root != Path("runs") else []
    how = f" with  {shlex.join(removing)}" if is_run(root / str(name)) else ""
    raise InputError(f"run {name!r} exists in {root}; choose another {named}, or delete it{how}")


def free_name(root: Path, default: str) -> str:
    """The default as a name, or the next free default-2, -3..."""
    return next(name for name in _names(default) if not (root / name).exists())


def find(root: Path, name: str | None) -> Path:
    """The folder of a run, or of the newest one.

    Raises:
        InputError: there is none (of that name).
    """
    found = [p for p in root.iterdir() if _is_run(p)] if root.is_dir() else []
    if not found:
        raise InputError(f"no runs in {root} yet:  parity train  makes one")
    if name is None:
        return max(found, key=_written)
    if root / name not in found:
        raise InputError(f"no run {name!r} in {root}: {suggest(name, (p.name for p in found))}")
    return root / name


def refuse_links(folder: Path) -> None:
    """Refuse a run whose files are not its own: it may come from somebody else, and what is written
    to or read from a link is another file.

    Raises:
        InputError: it holds a link, a hard link to a file, or something that is neither a file nor
            a folder.
    """
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode):
                continue
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise InputError(
                    f"{path} is a link or no plain file; a run has only files and folders of its "
                    f"own, so nothing is read or written there: copy the run with  cp -rL {folder} "
                    "NEW  if you trust it"
                )


def resume_command(folder: Path) -> str:
    """The command that resumes a run."""
    runs = "" if folder.parent == Path("runs") else f" --runs {folder.parent}"
    return f"parity train --resume {folder.name}{runs}"


def _is_run(path: Path) -> bool:
    """Whether it may be the folder of a run; its name is printed."""
    return path.is_dir() and not has_control_characters(path.name)


def _written(folder: Path) -> float:
    """The time of its newest curves, or of a test's report, which may have none; the folder's own
    time also changes with a page or a lock."""
    files = (*folder.rglob("events.out.tfevents.*"), *folder.glob("report.json"))
    return max((p.stat().st_mtime for p in files), default=0.0)


def _names(default: str) -> Iterator[str]:
    plain = re.sub(r"[^\w.-]", "-", default).strip(".-")[:90] or "run"
    yield plain
    for i in itertools.count(2):
        yield f"{plain}-{i}"
