"""A report as the HTML that a notebook shows.

A notebook's theme is not the system's, so the card takes the page's own colours; the three of the
verdict can be read on light and on dark.
"""

from torch_parity.compare.show.html import template


def card(outcome: str, headline: str, words: list[str], whole: str) -> str:
    """The verdict and its sentences; the whole report as text is folded away, if there is more."""
    return template("card.html").render(
        outcome=outcome, headline=headline, words=words, whole=whole
    )
