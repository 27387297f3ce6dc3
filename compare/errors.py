"""Errors in what a user gave, with the remedy in the message."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_parity.compare.judge.outcome import Required


class InputError(ValueError):
    """Bad input: the message names the thing, what was expected, what came and the remedy.

    Commands print it without a traceback and end with status 2.
    """


class ParityError(AssertionError):
    """Two sides do not agree; the message is the verdict, and report has all the details."""

    def __init__(self, report: "Required") -> None:
        super().__init__(report.verdict)
        self.report = report


def suggest(name: str, known: Iterable[str]) -> str:
    """ "did you mean 'x'?" if a known name is close, and the known names if they are few."""
    names = list(known)
    if not names:
        return "it is empty"
    in_any_case = {known.lower(): known for known in names}
    near = [in_any_case[n] for n in difflib.get_close_matches(name.lower(), in_any_case, n=1)]
    shown = names if len(names) <= 40 else [*names[:12], "..."]
    listed = f"known: {', '.join(shown)}"
    if not near:
        return listed
    return f"did you mean {near[0]!r}?" + (f" ({listed})" if len(names) <= 8 else "")
