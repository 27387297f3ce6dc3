"""Options that several commands have."""

from pathlib import Path

import click

RUNS = click.option(
    "--runs",
    "root",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of all runs.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
QUIET = click.option(
    "--quiet", is_flag=True, help="Print only the verdict, and no progress on standard error."
)
KEEP = click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep the tensors of the step in this folder, not in memory, until the end.",
)
SEED_OF_BOTH = click.option(
    "--seed", type=int, default=0, show_default=True, help="torch.manual_seed of both."
)
IGNORED_RESULTS = click.option(
    "--ignore",
    "ignored",
    metavar="NAME",
    multiple=True,
    help="Leave out a result of b (loss, 'head.*'); may be repeated.",
)
