"""`parity diff`."""

import sys
from pathlib import Path

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.options import JSON
from torch_parity.compare.judge.outcome import STATUS


@click.command(
    short_help="Judge two trace files.",
    cls=Command,
    examples=(
        ("Judge a trace of your own program", "parity diff mine.safetensors torch.safetensors"),
        ("Leave the gradients out", "parity diff a.npz b.npz --ignore 'd*'"),
    ),
)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--ignore",
    "ignored",
    metavar="NAME",
    multiple=True,
    help="Leave out a tensor (z1, given/W1, 'd*'); may be repeated.",
)
@click.option(
    "--memory",
    type=click.FloatRange(0, 1e6, min_open=True),
    default=4,
    show_default=True,
    metavar="GB",
    help="Refuse files that take more memory than this.",
)
@JSON
def diff(a: Path, b: Path, ignored: tuple[str, ...], memory: float, as_json: bool) -> None:
    """Judge the trace files A and B (.safetensors or .npz), whichever program wrote them.

    The exit status is 0 if they agree, 1 if they do not, 2 for bad input, 3 if nothing is wrong but
    not everything could be judged.
    """
    from torch_parity.compare.commands.diff import judge_files

    sys.exit(STATUS[judge_files(a, b, ignored, as_json, memory)])
