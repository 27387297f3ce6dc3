"""Docstrings as Markdown: prose as paragraphs, equations and examples as code, Raises as a list.

mkdocstrings would take the equations for Markdown; most docstrings of manual/ are equations.
"""

import re
import textwrap

EQUATION = re.compile(r"[A-Za-z_][\w.']*(\[[^\]]*\])?'? (=|~|:=) |.* # |# |.* -> ")
SECTION = re.compile(r"(Raises|Source): *(.*)", re.S)
RAISED = re.compile(r"^    (\S[^:]*): ", re.M)
SPECIAL = re.compile(r"([*_<$|\\])")


def as_markdown(text: str) -> str:
    """The whole docstring, as inspect.cleandoc leaves it."""
    return "\n\n".join(_part(part) for part in re.split(r"\n\s*\n", text) if part.strip())


def _part(part: str) -> str:
    if section := SECTION.fullmatch(part):
        title, rest = section[1], section[2]
        return _raises(part) if title == "Raises" else f"**{title}:** {prose(rest)}"
    if part.startswith("| "):
        return part
    if part.startswith("    "):
        return f"```python\n{textwrap.dedent(part)}\n```"
    if EQUATION.match(part):
        return f"```text\n{part}\n```"
    return prose(part)


def _raises(part: str) -> str:
    names = RAISED.split(part)[1:]
    found = zip(names[::2], names[1::2], strict=True)
    return "**Raises:**\n\n" + "\n".join(f"- `{name}`: {prose(when)}" for name, when in found)


def prose(text: str) -> str:
    """One paragraph on one line, with the characters that Markdown takes for markup as entities."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    parts[::2] = [SPECIAL.sub(lambda m: f"&#{ord(m[1])};", part) for part in parts[::2]]
    return "".join(parts)
