"""The case as options of a command, one per field: a new field of Case is a new option."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import click

from torch_parity.compare.case import Case
from torch_parity.compare.choices import OneOf

# The field that each group of options begins with; a new field is in the group of its neighbours.
GROUPS = {
    "data": "Data",
    "model": "Model",
    "loss": "Loss and regularization",
    "initializer": "First parameters",
    "optimizer": "Optimizer and steps",
    "dtype": "Precision, device, seed and records",
}


class CaseOption(click.Option):
    """An option of a group."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


def case_options(
    command: Callable[..., Any], defaults: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """One option per field of Case. Values stay text: only Case decides what is valid. defaults are
    those of the command, where they are not Case's."""
    group = ""
    options: list[Callable[..., Any]] = []
    for name, field in Case.model_fields.items():
        group = GROUPS.get(name, group)
        flag = "--" + name.replace("_", "-")
        default = (defaults or {}).get(name, field.default)
        names = () if field.annotation is bool else _names(field.metadata, field.annotation)
        text = _explained(str(field.description), names, default)
        option = partial(click.option, cls=CaseOption, group=group, help=text)
        if field.annotation is bool:
            options.append(option(f"{flag}/--no-{flag[2:]}", name, default=None))
        else:
            metavar = "NAME" if names else _metavar(field.annotation)
            options.append(option(flag, name, metavar=metavar, shell_complete=_completed(names)))
    for decorate in reversed(options):
        command = decorate(command)
    return click.option(
        "--case",
        "case_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="TOML file of any of the options below, as  lr = 0.05; options override it.",
    )(command)


def grid_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that judges many cases."""
    file = click.Path(path_type=Path)
    out = click.option(
        "--out",
        type=file,
        metavar="FILE",
        help="File for the grid's results.  [default: runs/NAME.jsonl]",
    )
    cluster = click.option(
        "--cluster", metavar="ADDRESS", help="Judge the grid on a Dask cluster: tcp://host:8786."
    )
    grid = click.option(
        "--grid",
        type=file,
        metavar="FILE",
        help="TOML file as for --case, in which any key may be a list: judge every combination on "
        "all cores. The same command resumes a grid that was stopped.",
    )
    return grid(cluster(out(command)))


def _explained(description: str, names: tuple[str, ...], default: Any) -> str:
    """The description, the names that it lacks of those the option takes, and the default."""
    listed = "" if all(name in description for name in names) else f"; one of {', '.join(names)}"
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    elif isinstance(default, bool):
        default = "yes" if default else "no"
    return f"{description}{listed}" + ("" if default is None else f"  [default: {default}]")


def _names(metadata: list[Any], annotation: Any) -> tuple[str, ...]:
    """The names that an option takes; empty if it takes other values."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((tuple(m.names()) for m in metadata if isinstance(m, OneOf)), ())


def _completed(names: tuple[str, ...]) -> Callable[..., list[str]] | None:
    """What the shell proposes for a value."""
    return (lambda ctx, param, begun: [n for n in names if n.startswith(begun)]) if names else None


def _metavar(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _metavar(get_args(annotation)[0])
    if origin is UnionType or "Union" in str(origin):
        return "|".join(_metavar(a) for a in get_args(annotation) if a is not type(None))
    return {float: "NUMBER", int: "INTEGER", tuple: "INTEGER,..."}.get(origin or annotation, "TEXT")
