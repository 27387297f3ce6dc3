"""The console command, from its first moment: importing the command line takes a third of a second,
in which Ctrl-C must not end in a traceback."""

from torch_parity.compare.commands.stopping import exit_on_interrupt


def main() -> None:
    """`parity`, as the shell starts it."""
    with exit_on_interrupt():
        from torch_parity.compare.cli import main as run
        from torch_parity.compare.late_compiler import import_compiler_late

        import_compiler_late()
        run()
