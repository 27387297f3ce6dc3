"""`parity lesson NAME`: run a lesson: measure, print, draw and store it."""

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from torch.utils.tensorboard import SummaryWriter

from torch_parity.compare import threads
from torch_parity.compare.numbers import json_safe
from torch_parity.compare.runs import folder as runs
from torch_parity.compare.runs.made_with import made_with
from torch_parity.compare.runs.training import score_name
from torch_parity.compare.show import scalars_layout
from torch_parity.compare.show.dashboard import Dashboard
from torch_parity.compare.show.progress import progress
from torch_parity.lessons import find
from torch_parity.lessons.experiment import telling
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Table, agree


def run_lesson(name: str, seed: int, root: Path, quiet: bool) -> bool:
    """Measure, draw and print -> whether both sides agree in everything that was compared.

    Raises:
        InputError: there is no such lesson, or nothing can be written to the runs' folder.
    """
    lesson = find(name)
    console, verdict = Console(quiet=quiet), Console()
    folder = runs.create(root, None, default=name)
    console.print(f"[bold]{name}[/] ({_where(lesson)})\n", highlight=False)
    console.print(escape(lesson.text), highlight=False)
    with threads.limited(1), progress(quiet) as tell, telling(tell):
        measured = lesson.measure(seed)
    claims = lesson.conclusion(measured.numbers)
    for table in measured.tables:
        _show(console, table)
    console.print("[bold]Conclusion[/]")
    for c in claims:
        verdict.print(f"- {escape(c.text)}", highlight=False)
    _keep(folder, lesson, seed, measured, claims)
    console.print(
        f"\nPictures: {', '.join(f'{folder}/{p}.png' for p in measured.figures)}\n"
        f"TensorBoard: parity board {folder.name}",
        highlight=False,
        soft_wrap=True,
    )
    return agree(measured.numbers).holds


def _where(lesson: Lesson) -> str:
    headings = "; ".join(lesson.headings)
    return f"in the notes: {headings}" if headings else "beyond the notes"


def _show(console: Console, table: Table) -> None:
    shown = RichTable(*map(escape, table.columns), box=None, pad_edge=False, title_justify="left")
    for row in table.rows:
        shown.add_row(*map(escape, row))
    console.print(f"[bold]{escape(table.title)}[/]", highlight=False)
    console.print(shown)
    console.print()


def _keep(
    folder: Path, lesson: Lesson, seed: int, measured: Measured, claims: tuple[Claim, ...]
) -> None:
    """Write lesson.json, the pictures as PNG, and TensorBoard: text, pictures, training curves."""
    record = {
        "lesson": lesson.name,
        "passed": agree(measured.numbers).holds,
        "made_with": made_with(),
        "seed": seed,
        "headings": lesson.headings,
        "text": lesson.text,
        "tables": [asdict(t) for t in measured.tables],
        "numbers": json_safe(measured.numbers),
        "conclusion": [asdict(c) for c in claims],
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / "lesson.json").write_text(text + "\n", "utf-8")
    with SummaryWriter(str(folder)) as writer:
        for trained in list(measured.runs.values())[:1]:
            writer.add_custom_scalars(scalars_layout.training(score_name(trained.data)))
        writer.add_text("lesson", f"```\n{lesson.text}\n```")
        writer.add_text("conclusion", "\n".join(f"- {c.text}" for c in claims))
        for name, figure in measured.figures.items():
            figure.savefig(folder / f"{name}.png", dpi=110)
            writer.add_figure(name, figure)
    for label, trained in measured.runs.items():
        with closing(Dashboard(folder / label, score_name(trained.data))) as dashboard:
            for step in trained.records:
                dashboard.write(step)
