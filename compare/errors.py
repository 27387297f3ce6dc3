"""What a user got wrong, said so that they can mend it."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_parity.compare.judge.report import Report


class InputError(ValueError):
    """Bad input: the message names the thing, what was expected, what came and the remedy.

    Commands print it without a traceback and end with status 2.
    """


class ParityError(AssertionError):
    """Two sides do not agree; the message is the judge's verdict, report all that it saw."""

    def __init__(self, report: "Report") -> None:
        super().__init__(report.verdict)
        self.report = report


def suggest(name: str, known: Iterable[str]) -> str:
    """ "did you mean 'x'?" where one is near, and what is known where that is not long."""
    names = list(known)
    if not names:
        return "there is nothing in it"
    in_any_case = {known.lower(): known for known in names}
    near = [in_any_case[n] for n in difflib.get_close_matches(name.lower(), in_any_case, n=1)]
    shown = names if len(names) <= 40 else [*names[:12], "..."]
    listed = f"known: {', '.join(shown)}"
    if not near:
        return listed
    return f"did you mean {near[0]!r}?" + (f" ({listed})" if len(names) <= 8 else "")
