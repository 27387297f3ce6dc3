"""The result of a comparison of two sides, to print, to assert on, or to use in a program."""

import io
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from torch_parity.compare.judge.judge import Judgement
from torch_parity.compare.judge.outcome import Answer, Required
from torch_parity.compare.judge.verdict import (
    Names,
    powerless,
    sentences,
    short,
    unseen,
    unused,
)
from torch_parity.compare.show.terminal import show_judgement


@dataclass(frozen=True, repr=False)
class Report(Required):
    """The judgement on two sides, and the names of the sides.

    conventions are differences in how a side writes the same numbers (columns for rows); they are
    not mistakes, and are converted before judging. notes say what was not judged, and why.
    explanations are causes that follow from the sides' settings rather than from the arrays.
    hidden names known mistakes with which every tensor handed over would have been the same.
    unknown says which tensors this step does not compute, and what they may have been meant to be.
    """

    judgement: Judgement
    called: tuple[str, str] = ("manual", "torch")
    conventions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    explanations: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def outcome(self) -> Answer:
        """PASS if every tensor agrees up to rounding and no operation is wrong; UNJUDGED if it is
        not known whether some differ by more."""
        return self.judgement.outcome

    @property
    def names(self) -> Names:
        """The names of the judgement's sides."""
        return {"manual": self.called[0], "torch": self.called[1]}

    @property
    def causes(self) -> tuple[str, ...]:
        """The names of the known mistakes that explain the fault, if the explanation is unique."""
        found = (d for d in self.judgement.diagnoses.values() if len(d.alternatives) == 1)
        return tuple(e.cause.name for d in found for e in d.alternatives[0])

    @property
    def unshown(self) -> tuple[str, ...]:
        """What a PASS does not show: hidden mistakes, the given tensors of which nothing shows how
        they are used, and the tensors in which a wrong factor would not show. They are all 0."""
        j = self.judgement
        return (*self.hidden, *j.given_zeros, *j.zeros) if self.passed else ()

    @property
    def short(self) -> str:
        """One line: the verdict, and for a failure the operation, the cause and the side."""
        if self.passed:
            return f"PASS {len(self.judgement.differences)} tensors match"
        return f"{self.outcome} {short(self.judgement, self.names)}"

    @property
    def verdict(self) -> str:
        """The verdict in words, a line each: what is wrong first, who, why, what to write."""
        if self.passed:
            j = self.judgement
            zeros = (*unused(j.given_zeros), *powerless(j.zeros))
            return "\n".join([self.short, *zeros, *unseen(self.hidden)])
        found = sentences(self.judgement, self.names)
        return "\n".join([self.outcome, *found, *self._causes, *self.unknown])

    @property
    def _causes(self) -> list[str]:
        return [f"Cause: {sentence}" for sentence in self.explanations]

    def show(self, console: Console) -> None:
        """The whole report, on a terminal."""
        for line in self.conventions:
            console.print(f"[bold cyan]CONVENTION[/] {escape(line)}", highlight=False)
        show_judgement(console, self.judgement, called=self.names)
        for line in (*self._causes, *self.unknown, *unseen(self.hidden), *self.notes):
            console.print(escape(line), highlight=False, soft_wrap=True)

    def __str__(self) -> str:
        """The whole report as plain text."""
        page = io.StringIO()
        self.show(Console(file=page, width=100, color_system=None, force_jupyter=False))
        return page.getvalue()
