"""Errors in what a user gave, with the remedy in the message."""

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_parity.compare.judge.outcome import Required


# Control characters, marks that reverse a line, and bytes that are no text: what a terminal obeys.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Bad input: the message names the thing, what was expected, what came and the remedy.

    Commands print it without a traceback and end with status 2.
    """


class ParityError(AssertionError):
    """Two sides do not agree; the message is the verdict, and report has all the details."""

    def __init__(self, report: "Required") -> None:
        super().__init__(report.verdict)
        self.report = report


def has_control_characters(text: str) -> bool:
    """Whether a terminal would obey a part of the text instead of showing it."""
    return _CONTROL.search(text) is not None


def printable(text: str) -> str:
    """One line of text with ? for each control character: names come from files of others."""
    return _CONTROL.sub("?", text)


def shown(value: object) -> str:
    """The value as Python writes it, in 80 characters at most, however large or deep it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python refuses to write integers of 4,300 digits
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= 80 else f"{text[:77]}..."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest, or the shortest that goes on after this one; None if there is
    none."""
    in_any_case = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), in_any_case, n=1)
    if not near and len(name) >= 3:
        longer = (n for n in in_any_case if n.startswith(name.lower()))
        near = sorted(longer, key=len)[:1]
    return in_any_case[near[0]] if near else None


def suggest(name: str, known: Iterable[str]) -> str:
    """ "did you mean 'x'?" if a known name is close, and the known names if they are few."""
    names = list(known)
    if not names:
        return "it is empty"
    near = nearest(name, names)
    shown = names if len(names) <= 40 else [*names[:12], "..."]
    listed = f"known: {', '.join(shown)}"
    if near is None:
        return listed
    return f"did you mean {near!r}?" + (f" ({listed})" if len(names) <= 8 else "")
