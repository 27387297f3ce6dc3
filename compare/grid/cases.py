"""A grid from its file, with every case checked before any of them runs."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

from torch_parity.compare.case import CHECKED, Case, CaseError, explain, read
from torch_parity.compare.errors import InputError, shown, suggest

MOST = 1_000_000


@dataclass(frozen=True)
class Grid:
    """Every combination of a grid's lists, in a fixed order: all of one seed, then of the next.

    cases holds the cases to judge, by number; refused says why each of the others contradicts
    itself. options holds the values in which a case differs from others.
    """

    name: str
    options: tuple[dict[str, Any], ...]
    cases: dict[int, Case]
    refused: dict[int, str]

    def __len__(self) -> int:
        return len(self.options)

    @property
    def fingerprint(self) -> str:
        """A digest of every case in order, and of the users' own data files."""
        found = sha256()
        for number in range(len(self)):
            case = self.cases.get(number)
            said = case.model_dump_json() if case else self.refused[number]
            found.update(said.encode() + b"\n")
        for path in sorted({case.data for case in self.cases.values()}):
            if path.endswith((".csv", ".npz")) and Path(path).is_file():
                found.update(Path(path).read_bytes())
        return found.hexdigest()


def load(file: Path, **given: Any) -> Grid:
    """A grid from a TOML file: a case file in which any key may be a list. `repeats = N` means N
    seeds, starting with `seed`. Options override the file, as for a case.

    Raises:
        InputError: the file cannot be read; a key is unknown, a list empty, a value invalid or
            repeated; no combination can be judged.
    """
    values = read(file)
    for name in values:
        if name not in (known := [*Case.model_fields, "repeats"]):
            raise InputError(f"unknown key {shown(name)} in {file}: {suggest(name, known)}")
    repeats = values.pop("repeats", 1)
    values = {**CHECKED, **values, **given}
    seeds = _seeds(values.pop("seed", 0), repeats, file)
    axes = {"seed": seeds} | {name: _axis(name, v, file) for name, v in values.items()}
    if (count := math.prod(map(len, axes.values()))) > MOST:
        lengths = " x ".join(f"{len(v)} {name}" for name, v in axes.items() if len(v) > 1)
        raise InputError(
            f"{file} is a grid of {count:,} cases ({lengths}); expected at most {MOST:,}"
        )
    return _checked(file, axes)


def rerun(case: Case) -> list[str]:
    """The words of a command that judges only this case."""
    usual = Case(**CHECKED)
    chosen = {name: getattr(case, name) for name in Case.model_fields}
    differing = (flag(n, v) for n, v in chosen.items() if v != getattr(usual, n))
    return ["parity", "check", *differing]


def flag(name: str, value: Any) -> str:
    """A field of Case as an option of the command line."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    return f"--{option}={','.join(map(str, value)) if isinstance(value, tuple) else value}"


def _seeds(seed: Any, repeats: Any, file: Path) -> list[Any]:
    if type(repeats) is not int or repeats < 1:
        raise InputError(
            f"repeats is {shown(repeats)} in {file}; expected a number of seeds, 1 or more"
        )
    if repeats > MOST:
        raise InputError(
            f"{file} is a grid of {shown(repeats)} repeats; expected at most {MOST:,} cases"
        )
    if repeats == 1:
        return _axis("seed", seed, file)
    if isinstance(seed, list):
        raise InputError(f"{file} has both a list of seeds and repeats: leave one of them out")
    try:
        first = Case(**{"seed": seed}).seed
    except CaseError as error:
        raise InputError(explain(error.refused, f" in {file}")) from None
    return list(range(first, first + repeats))


def _axis(name: str, value: Any, file: Path) -> list[Any]:
    """The values of a key; for hidden, a list of widths is one value."""
    listed = isinstance(value, list)
    if name == "hidden" and listed:
        listed = any(isinstance(v, list | str) for v in value)
    elif listed and not value:
        raise InputError(f"{name} is [] in {file}: expected a value, or a list of at least one")
    return value if listed else [value]


def _checked(file: Path, axes: dict[str, list[Any]]) -> Grid:
    cases: dict[int, Case] = {}
    refused: dict[int, str] = {}
    options = []
    for number, chosen in enumerate(_combinations(axes)):
        options.append({name: v for name, v in chosen.items() if len(axes[name]) > 1})
        try:
            cases[number] = Case(**chosen)
        except CaseError as error:
            if any(e["loc"] for e in error.refused.errors()):  # one value is invalid by itself
                raise InputError(explain(error.refused, f" in {file}")) from None
            refused[number] = str(error)
    if not cases:
        raise InputError(f"every case of {file} contradicts itself: {refused[0]}")
    if threads := {case.threads for case in cases.values()} - {1}:
        raise InputError(
            f"threads is {max(threads)} in {file}: a grid gives each core a case, and each case "
            "one thread; leave it out"
        )
    (case, times), *_ = Counter(cases.values()).most_common(1)
    if times > 1:
        twice = (n for n, values in axes.items() if _parsed(case, n, values) < len(values))
        raise InputError(f"{file} has the same value twice in {', '.join(twice)}")
    return Grid(file.stem, tuple(options), cases, refused)


def _combinations(axes: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _parsed(case: Case, name: str, values: list[Any]) -> int:
    """How many different values there are after Case has parsed them."""
    beside = case.model_dump(exclude={name})
    found = set()
    for value in values:
        try:
            found.add(getattr(Case(**(beside | {name: value})), name))
        except CaseError:
            found.add(json.dumps(value, default=str))
    return len(found)
