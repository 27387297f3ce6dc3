"""`parity check`."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from torch_parity.compare.case import CHECKED
from torch_parity.compare.case import load as load_case
from torch_parity.compare.cli.case_options import case_options, grid_options
from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.options import JSON, QUIET
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.outcome import STATUS


@click.command(
    short_help="Judge a few steps; show the whole report.",
    cls=Command,
    examples=(
        ("Judge three steps of a small network", "parity check --data moons --hidden 5,4"),
        ("Judge every combination in a file", "parity check --grid grid.toml"),
    ),
)
@grid_options
@JSON
@QUIET
@partial(case_options, defaults=CHECKED)
def check(
    case_file: Path | None,
    as_json: bool,
    quiet: bool,
    grid: Path | None,
    cluster: str | None,
    out: Path | None,
    **options: Any,
) -> None:
    """Judge a few steps and show the whole report of the first that fails, or of the last.

    Every operation of both sides is replayed in higher precision from its own inputs. The exit
    status is 0 if everything is right, 1 if anything is not, 2 for bad input, 3 if nothing is wrong
    but not everything could be judged, 130 after Ctrl-C.
    """
    given = {k: v for k, v in options.items() if v is not None}
    if grid is not None:
        if case_file is not None:
            raise InputError("--grid and --case are both case files: leave --case out")
        from torch_parity.compare.commands.grid import judge_grid

        sys.exit(judge_grid(grid, given, cluster, out, as_json, quiet))
    if cluster is not None or out is not None:
        raise InputError(f"--{'cluster' if cluster else 'out'} needs --grid FILE: add it")
    case = load_case(case_file, CHECKED, **given)
    from torch_parity.compare.commands.check import check_case

    sys.exit(STATUS[check_case(case, as_json, quiet)])
