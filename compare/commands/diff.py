"""`parity diff`: two trace files from any program, judged like the built-in pair."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from rich.console import Console

from torch_parity.compare import memory, threads
from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import Judgement, judge_traces
from torch_parity.compare.judge.outcome import Answer
from torch_parity.compare.judge.report import Report
from torch_parity.compare.show.judgement_json import to_json
from torch_parity.compare.sources.files.stored import BROKEN, GIVEN, MADE, Entry, Stored
from torch_parity.compare.sources.files.streamed import compare_stored
from torch_parity.compare.sources.files.trace_file import TraceFile, load

_NO_NODES = (
    "Neither file says which operation computed which tensor, so nothing was replayed and only "
    "equal tensors match."
)


COPIES = 6  # of every tensor in float64, while nodes are replayed


def judge_files(
    a: Path, b: Path, ignored: tuple[str, ...], as_json: bool, gigabytes: float
) -> Answer:
    """Judge two files in so much memory and print the report -> the answer.

    Raises:
        InputError: see diff.
    """
    with threads.limited(1):
        report = diff(a, b, ignored, gigabytes)
    console = Console()
    if as_json:
        sides = {"called": dict(report.names), "notes": report.notes}
        console.print_json(to_json(report.judgement, **sides))
    else:
        report.show(console)
    return report.outcome


def diff(a: Path, b: Path, ignored: Iterable[str] = (), gigabytes: float = 4) -> Report:
    """The judge's report on two trace files.

    A tensor that only one file has is a failure, unless a shell-style pattern in ignored matches
    its name in the file (z1, given/W1). Ignored tensors are treated as if no file had them.

    Raises:
        InputError: a file is not a trace, both arguments are the same file, the files have no
            tensor in common, an ignored tensor does not exist or is needed, or replaying them takes
            more memory.
    """
    try:
        with memory.limited(gigabytes * memory.GB):
            return _report(a, b, list(ignored), gigabytes)
    except MemoryError as error:
        raise InputError(
            f"{a} and {b} take more memory than the limit of {gigabytes:g} GB ({error}); --memory "
            "allows more"
        ) from None


def _report(a: Path, b: Path, ignored: list[str], gigabytes: float) -> Report:
    files = load(a), load(b)
    if a.samefile(b):
        raise InputError(f"{a} and {b} are the same file: give two different ones")
    called = _called(a, b)
    first, second = _without(files, ignored)
    if not first.made.keys() & second.made.keys():
        raise InputError(
            f"{a} and {b} have no computed tensor in common, so there is nothing to compare: "
            f"{called[0]} has {_some(first.made)}, {called[1]} {_some(second.made)}"
        )
    judgement, notes = _judged(first, second, called, gigabytes)
    return Report(judgement, called, notes=(*files[0].notes, *files[1].notes, *notes))


def _judged(
    a: TraceFile, b: TraceFile, called: tuple[str, str], gigabytes: float
) -> tuple[Judgement, list[str]]:
    """Nodes are replayed in memory; a file without nodes is judged by the other's. Where neither
    has any, the tensors are only compared.

    Files with an empty tensor are only compared as well: they fail, and a product of an empty
    tensor can be of any size.
    """
    without = [name for name, t in zip(called, (a, b), strict=True) if not t.nodes]
    stored = _one_mapping(a), _one_mapping(b)
    empty = any(e.size == 0 for s in stored for e in s.entries.values())
    if empty or len(without) == 2:
        notes = ["Nothing was replayed, so only equal tensors match."] if empty else [_NO_NODES]
        return Judgement(compare_stored(*stored, called)), notes
    _refuse_too_large([e for s in stored for e in s.entries.values()], gigabytes)
    notes = [f"{name} was judged by the operations that the other file names." for name in without]
    in_memory = [Trace(dict(t.given), dict(t.made), t.nodes or a.nodes or b.nodes) for t in (a, b)]
    try:
        with np.errstate(all="ignore"):
            return judge_traces(in_memory[0], in_memory[1], called), notes
    except MemoryError:
        raise
    except BROKEN as error:
        reason = error.args[-1] if error.args else type(error).__name__
        raise InputError(
            f"{called[0]} and {called[1]}: their tensors do not fit their nodes: {reason}"
        ) from None


def _refuse_too_large(entries: Iterable[Entry], gigabytes: float) -> None:
    """By what the headers declare: a compressed file may be a thousand times smaller."""
    needed = COPIES * 8 * sum(e.size for e in entries) / memory.GB
    if needed > gigabytes:
        raise InputError(
            f"to replay these tensors takes about {needed:,.3g} GB, more than the limit of "
            f"{gigabytes:g} GB; --memory allows more"
        )


def _one_mapping(trace: TraceFile) -> Stored:
    """The given tensors, under the names that the judge uses, and the computed ones."""
    given = {f"given {name}": e for name, e in trace.given.entries.items()}
    return Stored({**given, **trace.made.entries})


def _without(files: tuple[TraceFile, TraceFile], patterns: list[str]) -> list[TraceFile]:
    """The traces without the tensors that the patterns match."""
    names = {name for t in files for name in (*_given_names(t), *t.made)}
    for pattern in patterns:
        if not _matching(names, [pattern]):
            raise InputError(
                f"--ignore {pattern} matches no tensor: {suggest(pattern, sorted(names))}"
            )
    out = _matching(names, patterns)
    for t in files:
        needed = {GIVEN + name for node in t.nodes for name in node.inputs}
        if lost := sorted(out & needed & _given_names(t)):
            raise InputError(
                f"--ignore {lost[0]}: the nodes of the file need this tensor; do not ignore it"
            )
    return [
        replace(
            t,
            given=Stored({n: e for n, e in t.given.entries.items() if GIVEN + n not in out}),
            made=Stored({n: e for n, e in t.made.entries.items() if n not in out}),
        )
        for t in files
    ]


def _given_names(trace: TraceFile) -> set[str]:
    return {GIVEN + name for name in trace.given}


def _matching(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    bare = [pattern.removeprefix(MADE) for pattern in patterns]
    return {name for name in names if any(fnmatchcase(name, pattern) for pattern in bare)}


def _called(a: Path, b: Path) -> tuple[str, str]:
    """The names of the two sides in the report: the files' stems, with A and B if equal."""
    one, other = (re.sub(r"[^\w.-]", "_", path.stem) for path in (a, b))
    return (one, other) if one != other else (f"{one} (A)", f"{other} (B)")


def _some(names: Mapping[str, object]) -> str:
    return ", ".join([*names][:6]) + (", ..." if len(names) > 6 else "") or "none"
