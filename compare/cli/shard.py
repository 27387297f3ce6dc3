"""`parity shard`."""

from pathlib import Path
from typing import Any

import click

from torch_parity.compare.case import load as load_case
from torch_parity.compare.cli.case_options import case_options
from torch_parity.compare.cli.command import Command


@click.command(
    short_help="Write a case for torchrun to train.",
    cls=Command,
    examples=(
        ("Write four equal shards", "parity shard --data moons --out job"),
        (
            "Write two shards, one twice as large",
            "parity shard --data moons --shards 2,1 --out job",
        ),
    ),
)
@click.option(
    "--shards",
    default="4",
    show_default=True,
    help="Number of shards, or the share of the training rows of each: 4,3,2,2.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@case_options
def shard(case_file: Path | None, shards: str, out: Path, **options: Any) -> None:
    """Write a case as a folder of shards, for torchrun to train on any number of ranks.

    docs/distributed.md explains how to start the ranks, on one machine or several.
    """
    case = load_case(case_file, **options)
    from torch_parity.compare.commands.shard import shares_of, write_shards

    click.echo(write_shards(case, shares_of(shards), out))
