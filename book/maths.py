"""Formulas as MathML, which browsers draw without a script, a font or the network."""

import re

from latex2mathml.converter import convert

INLINE = re.compile(r"(?<![\\$\w])\$(?! )([^$\n]+?)(?<! )\$(?![\w$])")
CODE = re.compile(r"(`+[^`]*`+)")


def block(tex: str) -> str:
    """A formula on a line of its own; several lines are several formulas."""
    lines = [line for line in tex.strip().splitlines() if line.strip()]
    return "\n\n".join(f'<div class="math">{_mathml(line, "block")}</div>' for line in lines)


def inline(text: str) -> str:
    """Every $...$ outside of code replaced."""
    parts = CODE.split(text)
    parts[::2] = [INLINE.sub(lambda m: _mathml(m[1], "inline"), part) for part in parts[::2]]
    return "".join(parts)


def _mathml(tex: str, display: str) -> str:
    made = convert(tex.strip(), display=display)
    for letter in "*_":  # Markdown would take two of them for emphasis
        made = made.replace(letter, f"&#x{ord(letter):X};")
    return made
