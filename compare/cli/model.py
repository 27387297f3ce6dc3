"""`parity model`."""

import sys
from pathlib import Path

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.options import JSON, KEEP, QUIET
from torch_parity.compare.judge.outcome import STATUS


@click.command(
    short_help="Judge each operation of a torch model.",
    cls=Command,
    examples=(
        ("Judge every call", "parity model net.py:make"),
        ("Judge one block", "parity model net.py:make --only blocks.0"),
    ),
)
@click.argument("model", metavar="MODEL")
@click.option("--seed", type=int, default=0, show_default=True, help="torch.manual_seed.")
@KEEP
@click.option(
    "--only",
    metavar="MODULE",
    multiple=True,
    help="Judge only this module (blocks.0, '*.attn') and what is inside it; may be repeated.",
)
@JSON
@QUIET
def model(
    model: str,
    seed: int,
    keep: Path | None,
    only: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge every ATen call of one model, each on the inputs that it had.

    MODEL is a function in a Python file, FILE.py:NAME, or a file of `parity record --module`, as
    for `parity modules`. The exit status is 0 if every call is right, 1 if one is not, 2 for bad
    input, 3 if nothing is wrong but not everything could be judged.
    """
    from torch_parity.compare.commands.modules import judge_model

    sys.exit(STATUS[judge_model(model, seed, keep, only, as_json, quiet)])
