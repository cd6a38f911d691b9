"""Run a command by name."""

from collections.abc import Sequence
from importlib import import_module

from blitz.cli.command import Command


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Run the command of the module ``blitz.cli.<name>`` and return its exit code; ``argv``: ``sys.argv`` by default.

    Only that module is imported: Jinja2, scikit-learn and the charts are loaded for the commands that use them.
    """
    command: Command = import_module(f"blitz.cli.{name}").command
    return command.main(argv)
