"""What the shell proposes while a command is typed: names of mistakes, lessons and runs."""

from pathlib import Path

import click


def fault_names(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """The known mistakes whose names begin so."""
    from torch_parity.compare.causes import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(begun)]


def lesson_names(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """The lessons whose names begin so."""
    from torch_parity.lessons import contents

    return [name for name, *_ in contents() if name.startswith(begun)]


def run_names(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """The runs in the folder of --runs whose names begin so."""
    from torch_parity.compare.runs.answers import is_run

    root = ctx.params.get("root") or Path("runs")
    found = sorted(root.iterdir()) if root.is_dir() else []
    return [p.name for p in found if p.name.startswith(begun) and is_run(p)]
