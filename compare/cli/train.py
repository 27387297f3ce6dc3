"""`parity train`."""

import sys
from pathlib import Path
from typing import Any

import click

from torch_parity.compare.case import load as load_case
from torch_parity.compare.cli.case_options import case_options
from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.completion import run_names
from torch_parity.compare.cli.options import QUIET, RUNS
from torch_parity.compare.errors import InputError


@click.command(
    short_help="Train both sides and judge every step.",
    cls=Command,
    examples=(
        ("Train a small network on two moons", "parity train --data moons --hidden 5,4 --steps 50"),
        ("Train on your own file", "parity train --data own.csv --target label"),
        ("Resume a training that was killed", "parity train --resume moons"),
        ("Train a finished run further", "parity train --resume moons --steps 500"),
    ),
)
@click.option("--name", help="Name of the run  [default: the name of the data set]")
@click.option(
    "--gradcheck",
    type=click.IntRange(1),
    metavar="N",
    help="Compare the gradients of every Nth step with the exact derivative.",
)
@click.option(
    "--resume",
    metavar="NAME",
    shell_complete=run_names,
    help="Resume this run from where it was killed or stopped; no other option is needed. With "
    "more --steps than it had, a finished run is trained further.",
)
@RUNS
@click.option("--json", "as_json", is_flag=True, help="Print the summary of the run as JSON.")
@QUIET
@case_options
def train(
    case_file: Path | None,
    name: str | None,
    gradcheck: int | None,
    resume: str | None,
    root: Path,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train both sides on the same batches, compare every tensor of every step, draw the curves.

    The exit status is 0 if everything matched, 1 if anything did not, 2 for bad input, 3 if nothing
    is wrong but not everything could be judged; 130 if Ctrl-C stopped it, and 143 if SIGTERM did.
    """
    if resume is not None and name is not None:
        raise InputError("--resume keeps the run's own name: leave --name out")
    case = load_case(case_file, **options)
    from torch_parity.compare.commands.train_output import Output

    output = Output(as_json, quiet)
    if resume is not None:
        from torch_parity.compare.commands.resume import resume_run

        sys.exit(resume_run(resume, root, case, gradcheck, output))
    from torch_parity.compare.commands.train import train_case

    sys.exit(train_case(case, name, root, gradcheck, output))
