"""The command line: a short function for each command, whose work is in commands/. Only commands
that compute import torch, so that --help answers at once."""

import os
import sys
from functools import partial
from pathlib import Path
from traceback import format_exc
from typing import Any, Literal

import click

from torch_parity.compare.case import load as load_case
from torch_parity.compare.commands.case_options import case_options, grid_options
from torch_parity.compare.commands.modules import model, modules
from torch_parity.compare.commands.options import JSON, KEEP, RUNS
from torch_parity.compare.commands.stopping import exit_on_interrupt
from torch_parity.compare.commands.train_modules import train_modules
from torch_parity.compare.errors import InputError, has_control_characters, printable, shown
from torch_parity.compare.judge.outcome import STATUS

INTERNAL = 70  # EX_SOFTWARE of sysexits.h
CHECKED: dict[str, Any] = {"steps": 3, "log_every": 1}
"""What `parity check` does if it is not told otherwise: every step of a few is judged whole."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="torch-parity")
def parity() -> None:
    """Train the same network in hand-written NumPy and in torch, and check that they agree."""


@parity.command(short_help="Train both sides and judge every step.")
@case_options
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
    help="Resume this run from where it was killed or stopped; no other option is needed.",
)
@RUNS
def train(
    case_file: Path | None,
    name: str | None,
    gradcheck: int | None,
    resume: str | None,
    root: Path,
    **options: Any,
) -> None:
    """Train both sides on the same batches, compare every tensor of every step, draw the curves.

    The exit status is 0 if everything matched, 1 if anything did not, 2 for bad input, 3 if nothing
    is wrong but not everything could be judged; 130 if Ctrl-C stopped it, and 143 if SIGTERM did.
    """
    if resume is not None and name is not None:
        raise InputError("--resume keeps the run's own name: leave --name out")
    case = load_case(case_file, **options)
    if resume is not None:
        from torch_parity.compare.commands.resume import resume_run

        sys.exit(resume_run(resume, root, case, gradcheck))
    from torch_parity.compare.commands.train import train_case

    sys.exit(train_case(case, name, root, gradcheck))


@parity.command(short_help="Judge a few steps; show the whole report.")
@partial(case_options, defaults=CHECKED)
@grid_options
@JSON
def check(
    case_file: Path | None,
    as_json: bool,
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

        sys.exit(judge_grid(grid, given, cluster, out, as_json))
    if cluster is not None or out is not None:
        raise InputError(f"--{'cluster' if cluster else 'out'} needs --grid FILE: add it")
    case = load_case(case_file, **(CHECKED | given))
    from torch_parity.compare.commands.check import check_case

    sys.exit(STATUS[check_case(case, as_json)])


@parity.command(short_help="List the known mistakes, or plant one.")
@click.argument("name", required=False)
@click.option("--side", type=click.Choice(["manual", "torch"]), default="manual", show_default=True)
def faults(name: str | None, side: Literal["manual", "torch"]) -> None:
    """List the known mistakes, or plant the one called NAME and show how the judge finds it."""
    from rich.console import Console

    if name is None:
        from torch_parity.compare.commands.fault_list import list_faults

        list_faults(Console())
        return
    from torch_parity.compare.commands.faults import show

    show(Console(), name, side)


@parity.command(short_help="Open runs in TensorBoard.")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Show all runs, to sort and compare them.")
@RUNS
@click.option(
    "--host",
    default="localhost",
    show_default=True,
    help="Address to listen on; 0.0.0.0 lets other machines in, without a password.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port; 0 means any free one.  [default: 6006, or the next free one]",
)
def board(name: str | None, everything: bool, root: Path, host: str, port: int | None) -> None:
    """Open TensorBoard on the run NAME, on the newest one, or on all of them.

    The command prints the address once there is something to show, and runs until Ctrl-C.
    """
    from torch_parity.compare.commands.board import serve_board

    serve_board(root, name, everything, host, port)


@parity.command(short_help="List the runs, or remove one.")
@click.option("--remove", metavar="NAME", help="Delete the folder of this run.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@RUNS
def runs(remove: str | None, as_json: bool, root: Path) -> None:
    """List the runs, newest first: verdict, steps, score on dev, when and how large.

    A run is a folder that `parity train`, `parity train-modules`, `parity lesson` or a failed test
    with --parity-report wrote.
    """
    from torch_parity.compare.commands.runs import list_runs, remove_run

    if remove is not None:
        remove_run(root, remove)
    else:
        list_runs(root, as_json)


@parity.command(short_help="Write a run as one HTML page.")
@click.argument("name", required=False)
@RUNS
def report(name: str | None, root: Path) -> None:
    """Write the run NAME, or the newest one, as one HTML page that needs no server or network.

    A run is a training, a lesson, or a failed test kept by --parity-report DIR (give --runs DIR).
    The exit status is 0 if the page was written, whatever its verdict, 2 for bad input.
    """
    from torch_parity.compare.commands.report import write_report

    write_report(root, name)


@parity.command(short_help="Write one step as a trace file.")
@case_options
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
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
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


@parity.command(short_help="Judge two trace files.")
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


@parity.command(short_help="Write a case for torchrun to train.")
@case_options
@click.option(
    "--shards",
    default="4",
    show_default=True,
    help="Number of shards, or the share of the training rows of each: 4,3,2,2.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
def shard(case_file: Path | None, shards: str, out: Path, **options: Any) -> None:
    """Write a case as a folder of shards, for torchrun to train on any number of ranks.

    docs/distributed.md explains how to start the ranks, on one machine or several.
    """
    case = load_case(case_file, **options)
    from torch_parity.compare.commands.shard import shares_of, write_shards

    click.echo(write_shards(case, shares_of(shards), out))


@parity.command(short_help="Judge the steps of a distributed run.")
@click.argument("folder", type=click.Path(path_type=Path))
def ranks(folder: Path) -> None:
    """Judge the steps that the ranks of a run recorded with torchrun ... FOLDER --traces 3.

    N ranks, the same shards in NumPy, and one process with the whole batch must compute the same
    step. The exit status is 0 if they do, 1 if they do not, 2 for bad input, 3 if nothing is wrong
    but not everything could be judged.
    """
    from torch_parity.compare.commands.ranks import judge_ranks

    sys.exit(STATUS[judge_ranks(folder)])


@parity.command(short_help="List the lessons, or run one.")
@click.argument("name", required=False)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the data, parameters and masks.",
)
@RUNS
def lesson(name: str | None, seed: int, root: Path) -> None:
    """List the lessons, or run the one called NAME on both sides.

    The exit status is 0 if both sides agreed throughout, 1 if they did not, 2 for bad input.
    """
    from rich.console import Console

    if name is None:
        from torch_parity.lessons.listing import list_lessons

        list_lessons(Console())
        return
    from torch_parity.lessons.command import run_lesson

    if not run_lesson(Console(), name, seed, root):
        sys.exit(1)


@parity.command(short_help="Compare gradients with exact derivatives.")
@case_options
@click.option("--after", type=click.IntRange(1), help="Check again after this many training steps.")
@click.option(
    "--scan-epsilon",
    is_flag=True,
    help="Also show the error of two-sided differences for each epsilon.",
)
@JSON
@click.option("--name", help="Name of a run folder to write pictures of the errors to.")
@RUNS
def gradcheck(
    case_file: Path | None,
    after: int | None,
    scan_epsilon: bool,
    as_json: bool,
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

    if not check_gradients(case, after, scan_epsilon, as_json, name, root):
        sys.exit(1)


parity.add_command(modules)
parity.add_command(model)
parity.add_command(train_modules)


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
