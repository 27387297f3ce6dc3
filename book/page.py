"""Turns a page of docs/ into a page of the site: expands shorthands, draws formulas, adapts links.

A link may lead to any file of the repository, relative to the page. A file outside docs/ gets its
own page under source/ if a page links to it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from book import blocks, maths
from book.shorthand import EXPAND, Here

ROOT = Path(__file__).parent.parent
COMMENT = re.compile(r"^( *)<!-- *(\w+)(?:: *(.*?))? *-->$", re.M | re.S)
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
HIDDEN = "---\nsearch:\n  exclude: true\n---\n\n"


@dataclass(frozen=True)
class Page:
    """path is that of the file in the repository, with slashes."""

    path: str

    @property
    def language(self) -> str:
        """en, or zh for PAGE.zh.md."""
        return "zh" if self.path.endswith(".zh.md") else "en"

    @property
    def site(self) -> str:
        """Where it stands among the site's pages (NAME.py.md would be NAME in the language py)."""
        if self.path.startswith("docs/"):
            return self.path.removeprefix("docs/")
        name = self.path.removesuffix(".md").replace(".", "-")
        return f"source/{name}.md"


def render(page: Page) -> tuple[str, set[str], dict[str, Path]]:
    """The page as plain Markdown, the files outside docs/ that it links to, its pictures (target
    and source).

    Raises:
        ValueError: a comment is not a shorthand, or a link is broken; the message says where.
    """
    text = (ROOT / page.path).read_text("utf-8")
    if not page.path.endswith(".md"):
        return _as_code(page, text), set(), {}
    here = Here(page.language, text, page.site)
    done = "".join(
        part if is_code else _prose(page, part, here)
        for is_code, part in split(_expand(text, here))
    )
    hidden = HIDDEN if page.site.startswith("source/") else ""
    return hidden + done, here.linked, here.pictures


def split(text: str) -> list[tuple[bool, str]]:
    """Fenced blocks and the text between them; a ```math block counts as text."""
    parts, at = [], 0
    for match in blocks.FENCE.finditer(text):
        if match[2].strip() != "math":
            parts += [(False, text[at : match.start()]), (True, match[0])]
            at = match.end()
    return [*parts, (False, text[at:])]


def _expand(text: str, here: Here) -> str:
    """Replace every comment outside of code by what it requests, with the same indentation."""

    def expanded(match: re.Match[str]) -> str:
        indent, name, arguments = match[1], match[2], match[3] or ""
        if name not in EXPAND:
            raise ValueError(f"{here.site}: <!-- {name} --> is none of {', '.join(EXPAND)}")
        here.at = at + match.start()
        made = EXPAND[name](here, " ".join(arguments.split()))
        return "\n".join(indent + line if line else "" for line in made.splitlines())

    done, at = "", 0
    for is_code, part in split(text):
        done += part if is_code else COMMENT.sub(expanded, part)
        at += len(part)
    return done


def _prose(page: Page, text: str, here: Here) -> str:
    if "<!--" in text:
        where = text[text.index("<!--") :].splitlines()[0]
        raise ValueError(f"{page.path}: {where!r} is no shorthand on a line of its own")
    text = blocks.FENCE.sub(lambda m: maths.block(m[3]), text)
    text = LINK.sub(lambda m: m[1] + _turned(page, m[2], here) + m[3], text)
    return maths.inline(text)


def _turned(page: Page, target: str, here: Here) -> str:
    """The link for the site; a file outside docs/ is added to here.linked."""
    file, mark, anchor = target.partition("#")
    if not file or ":" in file:
        return target
    path = os.path.normpath(PurePosixPath(page.path).parent / file).replace(os.sep, "/")
    if path in here.pictures:
        return target
    if (ROOT / path).is_dir():
        path += "/README.md"
    if not (ROOT / path).is_file():
        raise ValueError(f"{page.path}: the link {target!r} leads to no file")
    if not path.startswith("docs/"):
        here.linked.add(path)
    start = str(PurePosixPath(page.site).parent)
    return os.path.relpath(Page(path).site, start).replace(os.sep, "/") + mark + anchor


def _as_code(page: Page, text: str) -> str:
    language = {".py": "python", ".c": "c", ".toml": "toml"}.get(Path(page.path).suffix, "text")
    fence = f'```{language} linenums="1"\n{text}```\n'
    return f"{HIDDEN}# {page.path}\n\n{fence}"
