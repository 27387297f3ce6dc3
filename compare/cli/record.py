"""`parity record`."""

from pathlib import Path
from typing import Any, Literal

import click

from torch_parity.compare.case import load as load_case
from torch_parity.compare.cli.case_options import case_options
from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.options import KEEP
from torch_parity.compare.errors import InputError


@click.command(
    short_help="Write one step as a trace file.",
    cls=Command,
    examples=(
        ("Write torch's third step", "parity record --data moons --out torch.safetensors"),
        (
            "Write a step of your own model",
            "parity record --module net.py:make --out a.safetensors",
        ),
    ),
)
@click.option("--step", type=click.IntRange(1, 1000), help="Which step to write.  [default: 3]")
@click.option(
    "--side",
    type=click.Choice(["manual", "torch"]),
    help="Which side to write.  [default: torch]",
)
@click.option(
    "--module",
    metavar="FILE.py:NAME",
    help="Record any torch model instead: a function in a Python file, as for `parity modules`. Of "
    "the other options it takes --seed, --draws, --keep, --out and --force.",
)
@click.option(
    "--draws",
    type=click.Path(path_type=Path),
    help="Draw the random numbers of this recorded model.",
)
@KEEP
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: .safetensors or .npz.",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@case_options
def record(
    case_file: Path | None,
    step: int | None,
    side: Literal["manual", "torch"] | None,
    module: str | None,
    draws: Path | None,
    keep: Path | None,
    out: Path,
    force: bool,
    **options: Any,
) -> None:
    """Write one step as a file, to judge other implementations against.

    Without --module it is a trace of one side of a case, for `parity diff`: the third step on the
    first batch, since in the first step mistakes in the state of momentum and Adam do not show.
    docs/trace-format.md describes the file. With --module it is a recording of one step of any
    torch model, for `parity modules` and `parity model`; docs/modules.md describes it.
    """
    given = {k: v for k, v in options.items() if v is not None}
    if module is not None:
        from torch_parity.compare.commands.record_module import write_recording

        unwanted = {"case": case_file, "step": step, "side": side}
        click.echo(write_recording(module, {**unwanted, **given}, draws, keep, out, force))
        return
    if draws is not None or keep is not None:
        flag = "draws" if draws is not None else "keep"
        raise InputError(f"--{flag} needs --module FILE.py:NAME: add it")
    case = load_case(case_file, **given)
    from torch_parity.compare.commands.record import write_trace

    click.echo(write_trace(case, step or 3, side or "torch", out, force))
