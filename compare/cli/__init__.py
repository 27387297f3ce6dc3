"""The command line: a file for each command, whose work is in commands/. Only commands that compute
import torch, so that --help answers at once."""

import os
import sys
from traceback import format_exc

import click

from torch_parity.compare.cli import (
    board,
    check,
    diff,
    faults,
    gradcheck,
    lesson,
    model,
    modules,
    ranks,
    record,
    report,
    runs,
    shard,
    train,
    train_modules,
)
from torch_parity.compare.commands.stopping import exit_on_interrupt
from torch_parity.compare.errors import InputError, has_control_characters, printable, shown

INTERNAL = 70  # EX_SOFTWARE of sysexits.h


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="torch-parity")
def parity() -> None:
    """Train the same network in hand-written NumPy and in torch, and check that they agree."""


for command in (
    train.train,
    check.check,
    faults.faults,
    board.board,
    runs.runs,
    report.report,
    record.record,
    diff.diff,
    shard.shard,
    ranks.ranks,
    lesson.lesson,
    gradcheck.gradcheck,
    modules.modules,
    model.model,
    train_modules.train_modules,
):
    parity.add_command(command)


def main() -> None:
    """The console command: bad input ends with status 2 and a message, without a traceback. Status
    70 means a mistake of this program; Python's own 1 would be taken for a FAIL."""
    try:
        with exit_on_interrupt():
            _refuse_control_characters(sys.argv[1:])
            parity(prog_name="parity")
    except InputError as error:
        click.echo(f"parity: {_printable_lines(str(error))}", err=True)
        sys.exit(2)
    except MemoryError as error:
        click.echo(
            f"parity: out of memory ({error}); lower --samples, --hidden or --batch", err=True
        )
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception:
        click.echo(_printable_lines(format_exc()), err=True)
        click.echo(
            "parity: torch-parity has a bug and stopped, so there is no verdict; please report the "
            "lines above",
            err=True,
        )
        sys.exit(INTERNAL)


def _refuse_control_characters(arguments: list[str]) -> None:
    """The names of files are printed, and a terminal would obey such a name."""
    for argument in arguments:
        if has_control_characters(argument):
            raise InputError(
                f"the argument {shown(argument)} holds control characters, which a terminal would "
                "obey: rename the file, or leave them out"
            )


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
