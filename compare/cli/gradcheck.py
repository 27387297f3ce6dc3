"""`parity gradcheck`."""

import sys
from pathlib import Path
from typing import Any

import click

from torch_parity.compare.case import load as load_case
from torch_parity.compare.cli.case_options import case_options
from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.options import JSON, QUIET, RUNS


@click.command(
    short_help="Compare gradients with exact derivatives.",
    cls=Command,
    examples=(
        ("Check at initialization", "parity gradcheck --data moons --hidden 5,4"),
        ("Check again after 100 steps", "parity gradcheck --data moons --after 100"),
        ("Show the best epsilon", "parity gradcheck --data moons --scan-epsilon"),
    ),
)
@click.option("--after", type=click.IntRange(1), help="Check again after this many training steps.")
@click.option(
    "--scan-epsilon",
    is_flag=True,
    help="Also show the error of two-sided differences for each epsilon.",
)
@JSON
@QUIET
@click.option("--name", help="Name of a run folder to write pictures of the errors to.")
@RUNS
@case_options
def gradcheck(
    case_file: Path | None,
    after: int | None,
    scan_epsilon: bool,
    as_json: bool,
    quiet: bool,
    name: str | None,
    root: Path,
    **options: Any,
) -> None:
    """Compare both sides' gradients with the exact derivative of the forward, without a tolerance.

    The table also has two-sided differences and torch.autograd.gradcheck. The exit status is 0 if
    every gradient is right to rounding, 1 if any is not, 2 for bad input.
    """
    case = load_case(case_file, **options)
    from torch_parity.compare.commands.gradcheck import check_gradients

    if not check_gradients(case, after, scan_epsilon, as_json, quiet, name, root):
        sys.exit(1)
