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
    """passed and require(), for every report."""

    @property
    @abstractmethod
    def outcome(self) -> Answer:
        """PASS, FAIL, or UNJUDGED where nothing is wrong but not everything was judged."""

    @property
    @abstractmethod
    def verdict(self) -> str:
        """The answer in words."""

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
