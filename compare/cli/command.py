"""A command whose --help has its own options first, those of a case in groups, then examples."""

from typing import Any

import click

OWN = "Options"
WIDE = 68  # characters from which options and their text stand in two columns


class Command(click.Command):
    """examples are pairs: what a command line does, and the command line."""

    def __init__(self, *args: Any, examples: tuple[tuple[str, str], ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each group of options, the command's own first."""
        groups: dict[str, list[tuple[str, str]]] = {OWN: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record:
                groups.setdefault(getattr(param, "group", OWN), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                _write(formatter, records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, each as it is typed."""
        with formatter.section("Examples"):
            for what, line in self.examples:
                formatter.write_text(f"{what}:")
                with formatter.indentation():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def _write(formatter: click.HelpFormatter, records: list[tuple[str, str]]) -> None:
    """In two columns; on a narrow terminal each text below its option."""
    if formatter.width >= WIDE:
        formatter.write_dl(records)
        return
    for option, text in records:
        formatter.write_text(option)
        with formatter.indentation(), formatter.indentation():
            formatter.write_text(text)
