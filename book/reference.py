"""The reference: the public names of a package with their docstrings, and the fields of a case."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, get_args

from pydantic.fields import FieldInfo

from book import source
from book.docstring import as_markdown, prose
from book.source import Described
from torch_parity.compare.case import Case
from torch_parity.compare.choices import OneOf

# The groups of a page, in order: a folder's name, and its title.
GROUPS = {
    "ops": "Operations",
    "losses": "Losses and penalties",
    "optimizers": "Optimizers",
    "schedules": "Learning rates",
    "models": "Models, and one training step",
    "gradients": "Gradient checks",
    "distributed": "Many ranks",
}
REST = "Further names"

BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def names_of(package: str, link: Callable[[str], str]) -> str:
    """Every public name of a package under a heading of its own, group by group."""
    described = sorted(source.public(package), key=lambda d: d.path)
    grouped = {title: [d for d in described if _group(d) == title] for title in TITLES}
    if not grouped[TITLES[0]]:  # a package whose names come from everywhere
        return "\n\n".join(_entry("##", package, d, link) for d in described)
    parts = []
    for title, found in grouped.items():
        parts += [f"## {title}"] if found else []
        parts += [_entry("###", package, d, link) for d in found]
    return "\n\n".join(parts)


TITLES = [*GROUPS.values(), REST]


def _group(found: Described) -> str:
    return GROUPS.get(PurePosixPath(found.path).parent.name, REST)


def _entry(level: str, package: str, of: Described, link: Callable[[str], str]) -> str:
    head = f"{level} {of.name} {{#{package}.{of.name}}}"
    where = f"[`{of.path}`]({link(of.path)})"
    parts = [head, f"```python\n{of.signature}\n```", as_markdown(of.text), where]
    return "\n\n".join(part for part in parts if part)


def fields_of_a_case() -> str:
    """A table of every field of Case: its default, what it may be, and what it means."""
    rows = ["| field | default | meaning | allowed |", "| --- | --- | --- | --- |"]
    for name, field in Case.model_fields.items():
        cells = (f"`{name}`", _default(field), prose(field.description or ""), _allowed(field))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return "" if value is None else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    """The names, or the bounds of a number; the type if neither is limited."""
    choices = [c for m in field.metadata for c in _choices(m)]
    choices += [str(value) for value in get_args(field.annotation) if isinstance(value, str)]
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds = [
        f"{sign} {getattr(m, bound):,}"
        for m in field.metadata
        for bound, sign in BOUNDS.items()
        if hasattr(m, bound)
    ]
    return ", ".join(bounds)


def _choices(rule: Any) -> tuple[str, ...]:
    return tuple(rule.names()) if isinstance(rule, OneOf) else ()
