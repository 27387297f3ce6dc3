"""The answer of every report: PASS, FAIL, or UNJUDGED where nothing is wrong but not everything was
judged."""

from abc import ABC, abstractmethod
from typing import Literal, Self

from torch_parity.compare.errors import ParityError

Answer = Literal["PASS", "FAIL", "UNJUDGED"]

SEVERITY: tuple[Answer, ...] = ("PASS", "UNJUDGED", "FAIL")

STATUS: dict[Answer, int] = {"PASS": 0, "FAIL": 1, "UNJUDGED": 3}
"""The exit status of a command; 2 is bad input."""


class Required(ABC):
    """passed and require(), for every report; and how a report looks at a prompt and in a notebook.

    str(report) is the whole report as text.
    """

    @property
    @abstractmethod
    def outcome(self) -> Answer:
        """PASS, FAIL, or UNJUDGED where nothing is wrong but not everything was judged."""

    @property
    @abstractmethod
    def verdict(self) -> str:
        """The answer in words."""

    @property
    def short(self) -> str:
        """One line."""
        return self.verdict.splitlines()[0]

    @property
    def passed(self) -> bool:
        """Everything was judged, and everything is right."""
        return self.outcome == "PASS"

    def require(self, strict: bool = False) -> Self:
        """Itself, if nothing is wrong; if strict, only if everything was judged as well.

        Raises:
            ParityError: (an AssertionError) something is; the message is the verdict.
        """
        __tracebackhide__ = True
        if self.outcome == "FAIL" or (strict and self.outcome != "PASS"):
            raise ParityError(self)
        return self

    def __repr__(self) -> str:
        """One line: a report holds every tensor of a step."""
        return f"<{type(self).__name__}: {self.short}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from torch_parity.compare.show.notebook import card

        headline, *words = self.verdict.splitlines()
        whole = str(self).strip()
        return card(
            self.outcome,
            headline.removeprefix(self.outcome).strip(),
            words,
            whole if whole != self.verdict.strip() else "",
        )
