"""The case as options of a command, one per field: a new field of Case is a new option."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import click

from torch_parity.compare.case import Case
from torch_parity.compare.choices import OneOf


def case_options(
    command: Callable[..., Any], defaults: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """One option per field of Case. Values stay text: only Case decides what is valid. defaults are
    those of the command, where they are not Case's."""
    for name, field in reversed(Case.model_fields.items()):
        flag = "--" + name.replace("_", "-")
        default = (defaults or {}).get(name, field.default)
        if name == "hidden":
            default = ",".join(map(str, default))
        shown = "" if default is None else f"  [default: {default}]"
        text = f"{field.description}{shown}"
        if field.annotation is bool:
            switch = f"{flag}/--no-{flag[2:]}"
            command = click.option(switch, name, default=None, help=text)(command)
        else:
            names = next((m.names() for m in field.metadata if isinstance(m, OneOf)), None)
            metavar = "|".join(names) if names else _metavar(field.annotation)
            command = click.option(flag, name, metavar=metavar, help=text)(command)
    return click.option(
        "--case",
        "case_file",
        type=click.Path(path_type=Path),
        help="TOML file of any of the options below, as  lr = 0.05; options override it.",
    )(command)


def grid_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that judges many cases."""
    file = click.Path(path_type=Path)
    out = click.option(
        "--out", type=file, help="File for the grid's results.  [default: runs/NAME.jsonl]"
    )
    cluster = click.option(
        "--cluster", metavar="ADDRESS", help="Judge the grid on a Dask cluster: tcp://host:8786."
    )
    grid = click.option(
        "--grid",
        type=file,
        help="TOML file as for --case, in which any key may be a list: judge every combination on "
        "all cores. The same command resumes a grid that was stopped.",
    )
    return grid(cluster(out(command)))


def _metavar(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return "|".join(get_args(annotation))
    if origin is Annotated:
        return _metavar(get_args(annotation)[0])
    if origin is UnionType or "Union" in str(origin):
        return "|".join(_metavar(a) for a in get_args(annotation) if a is not type(None))
    return {float: "NUMBER", int: "INTEGER", tuple: "INTEGER,..."}.get(origin or annotation, "TEXT")
