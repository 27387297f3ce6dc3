"""`parity check --grid FILE`: judge every case of a grid, and store each result at once."""

import shlex
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.markup import escape

from torch_parity.compare import data
from torch_parity.compare.commands.stopping import Stopped, stopping
from torch_parity.compare.errors import InputError
from torch_parity.compare.grid import cases, results, table
from torch_parity.compare.grid.cases import flag
from torch_parity.compare.grid.cluster import cluster
from torch_parity.compare.grid.cores import all_cores
from torch_parity.compare.grid.fingerprint import fingerprint
from torch_parity.compare.grid.outcome import Outcome
from torch_parity.compare.grid.results import Results
from torch_parity.compare.grid.table import Rate, Totals
from torch_parity.compare.grid.workers import Workers
from torch_parity.compare.judge.outcome import STATUS
from torch_parity.compare.show.progress import progress

CHUNK = 8  # cases sent to a worker at a time: half a second of work, so that sending costs little


def judge_grid(
    file: Path,
    given: dict[str, Any],
    address: str | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Judge the cases that the results file does not have, then show all -> the exit status: 0 if
    every case passed or contradicts itself, 1 if any failed, 3 if any could not be judged, 128 plus
    the signal that stopped it.

    Raises:
        InputError: the grid, the result file or the cluster cannot be used, or a worker was killed.
    """
    grid = cases.load(file, **given)
    for case in {case.data: case for case in grid.cases.values()}.values():
        data.load(case)  # an unknown name would otherwise count as a contradiction
    path = out or Path("runs") / f"{grid.name}.jsonl"
    rate, status = None, 0
    with results.opened(path, grid, fingerprint()) as known:
        how_to_resume = _how_to_resume(known, file, given, address, out)
        try:
            with stopping():
                rate = _sweep(known, address, quiet)
        except Stopped as stopped:
            status = stopped.status
        except BrokenProcessPool:
            raise InputError(f"a worker was killed (out of memory?)\n{how_to_resume()}") from None
        except InputError as error:
            raise InputError(
                f"{error}\n{how_to_resume()}" if known.outcomes else str(error)
            ) from None
        found = table.totals(grid, known.outcomes, rate)
    if found.by_verdict["refused"] == found.cases:
        raise InputError(f"no case of {file} can be judged: {found.kinds[0].kind}")
    _show(found, path, as_json, quiet)
    if status:
        Console(stderr=True).print(escape(how_to_resume()), highlight=False, soft_wrap=True)
    return status or STATUS[found.outcome]


def _sweep(known: Results, address: str | None, quiet: bool) -> Rate | None:
    """Judge every case that has no result yet -> the rate; None if there was no such case."""
    grid, began = known.grid, perf_counter()
    refused = (n for n in grid.refused if n not in known.outcomes)
    known.add(Outcome(case=n, verdict="refused", detail=grid.refused[n]) for n in refused)
    left = [(n, case) for n, case in grid.cases.items() if n not in known.outcomes]
    if not left:
        return None
    chunks = [left[i : i + CHUNK] for i in range(0, len(left), CHUNK)]
    versions = fingerprint()
    pool = cluster(address, chunks, versions) if address else all_cores(chunks, versions)
    with pool as workers:
        _collect(known, workers, quiet)
        return Rate(len(left), workers.cores, perf_counter() - began)


def _collect(known: Results, workers: Workers, quiet: bool) -> None:
    """Store each result as it comes."""
    with progress(quiet) as tell:
        for outcomes in workers.outcomes:
            known.add(outcomes)
            tell("judging cases", len(known.outcomes), len(known.grid), "")


def _show(found: Totals, path: Path, as_json: bool, quiet: bool) -> None:
    console = Console()
    if as_json:
        console.print_json(table.to_json(found))
        return
    if not quiet:
        table.show(console, found)
        console.print(f"Results: {escape(str(path))}", highlight=False, soft_wrap=True)
    console.print(table.verdict(found), highlight=False, soft_wrap=True)


def _how_to_resume(
    known: Results, file: Path, given: dict[str, Any], address: str | None, out: Path | None
) -> Callable[[], str]:
    """A function that says how many cases are judged, and the command that resumes."""
    words = ["parity", "check", f"--grid={file}", *(flag(n, v) for n, v in given.items())]
    words += [f"--out={out}"] if out else []
    words += [f"--cluster={address}"] if address else []
    return lambda: (
        f"{len(known.outcomes):,} of {len(known.grid):,} cases are judged and kept in "
        f"{known.path}; resume with  {shlex.join(words)}"
    )
