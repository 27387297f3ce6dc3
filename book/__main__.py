"""`python -m book`: every page of docs/, and every file that one of them links to."""

import shutil
from pathlib import Path

from book import notebooks
from book.page import Page, render

ROOT = Path(__file__).parent.parent
OUT = ROOT / "build" / "book"


def main() -> None:
    """Write build/book: the pages, their pictures, and the files of docs/ that are not pages."""
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree(ROOT / "docs", OUT, ignore=shutil.ignore_patterns("*.md", "*.py", "*.toml"))
    opened = notebooks.write_all(OUT)  # first: they measure the lessons, which pages show
    waiting = [p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").rglob("*.md"))]
    seen = set(waiting)
    for path in waiting:  # grows as pages link to further files
        page = Page(path)
        text, linked, pictures = render(page)
        file = OUT / page.site
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(notebooks.with_link(page, text), "utf-8")
        for place, picture in pictures.items():
            target = OUT / Path(place).relative_to("docs")
            target.parent.mkdir(exist_ok=True)
            shutil.copy(picture, target)
        waiting += sorted(linked - seen)
        seen |= linked
    print(f"{len(waiting)} pages and {opened} notebooks in {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
