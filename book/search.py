"""`python -m book.search`: gives each language of the built site a search of its own.

mkdocs builds the languages one after another. For pages opened from a folder it leaves the index of
the last one alone, and for a server one index of all. Here every language gets an index of its
pages in both forms, .json, and .js for pages opened from a folder; that of Chinese is in its own
folder. Pages that are not translated are found in English, after those that are.
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "site"
OTHER = "zh"
TRANSLATED = 4.0  # how much higher a page in the reader's language ranks than one that is not

Index = dict[str, Any]


def main() -> None:
    """Write both indexes, and point the pages of the other language to theirs."""
    index = json.loads((SITE / "search" / "search_index.json").read_text("utf-8"))
    english, other = divided(index)
    _write(SITE / "search", english)
    _write(SITE / OTHER / "search", other)
    for page in (SITE / OTHER).rglob("*.html"):
        page.write_text(rebased(page.read_text("utf-8")), "utf-8")


def divided(index: Index) -> tuple[Index, Index]:
    """The index of English, and that of the other language, with locations inside its folder."""
    folder = f"{OTHER}/"
    english = [d for d in index["docs"] if not d["location"].startswith(folder)]
    own = [
        d | {"location": d["location"].removeprefix(folder), "boost": TRANSLATED}
        for d in index["docs"]
        if d["location"].startswith(folder)
    ]
    translated = {_page(d) for d in own}
    rest = [d for d in english if _page(d) not in translated]
    return index | {"docs": english}, index | {"docs": own + rest}


def _page(of: dict[str, Any]) -> str:
    page: str = of["location"].partition("#")[0]
    return page


def rebased(page: str) -> str:
    """The page with its language's folder as base, from which Material looks for the index."""
    before, mark, config = page.partition('<script id="__config" type="application/json">')
    settings, end, after = config.partition("</script>")
    known = json.loads(settings)
    known["base"] = known["base"].removeprefix("../") if known["base"] != ".." else "."
    return before + mark + json.dumps(known, ensure_ascii=False) + end + after


def _write(folder: Path, index: Index) -> None:
    folder.mkdir(exist_ok=True)
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    (folder / "search_index.json").write_text(text, "utf-8")
    (folder / "search_index.js").write_text(f"var __index = {text}", "utf-8")


if __name__ == "__main__":
    main()
