"""A run as one HTML file that needs no server, network or script."""

import math
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from torch_parity.compare.show.page import Page, of


def page(folder: Path) -> str:
    """The page about a run's folder; all that comes from its files is escaped.

    Raises:
        InputError: the folder is no run, or a file of it is damaged.
    """
    return render(of(folder))


def render(about: Page) -> str:
    """HTML of a page."""
    return template("report.html").render(page=about)


def template(name: str) -> Template:
    """A file of templates/; all that is put into it is escaped."""
    templates = Environment(
        loader=PackageLoader("torch_parity.compare.show", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"gap": _gap, "share": _share, "percent": _percent, "value": _value}
    return templates.get_template(name)


def _gap(relative: float) -> str:
    if relative == 0:
        return "0"
    return "none" if math.isnan(relative) else f"{relative:.1e}"


def _share(use: float | None) -> str:
    """The share of a bound: a percentage, or a factor if it is large."""
    if use is None:
        return "none"
    return f"{use:.0%}" if use < 10 else f"{use:.0e} x" if use < 1e9 else "over"


def _percent(score: float | None) -> str:
    return "none" if score is None or math.isnan(score) else f"{score:.2%}"


def _value(choice: object) -> str:
    """A value of a case, about as in its TOML file; "none" if it was not chosen."""
    if choice is None:
        return "none"
    return ", ".join(map(str, choice)) if isinstance(choice, tuple) else str(choice)
