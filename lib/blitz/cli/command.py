"""A command: its name, help text, arguments and work, and how its errors become a message and an exit code."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from blitz.cli.logs import logging_of
from blitz.errors import BlitzError, StepError
from blitz.spark.failures import reason

log = logging.getLogger("blitz")

OK, FAILED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Command:
    """One command, which is a job and a console script of the wheel.

    ``run`` prints the result to stdout; it raises a BlitzError for what the user can fix.
    """

    name: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    epilog: str | None = None

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Parse the arguments (``sys.argv`` by default), run the command and return its exit code.

        Raises SystemExit for ``--help`` and wrong arguments, as argparse does.
        """
        parser = argparse.ArgumentParser(
            prog=self.name,
            description=self.description,
            epilog=self.epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_arguments(parser)
        arguments = parser.parse_args(argv)
        return exit_code_of(self.name, lambda: self.run(arguments))


def exit_code_of(name: str, work: Callable[[], None]) -> int:
    """Run ``work``; print what it raises as one message on stderr and return the exit code (0 on success).

    On Databricks exceptions propagate: a task fails with an exception, and its page shows the message.
    """
    with logging_of(name) as debug_log:
        if "DATABRICKS_RUNTIME_VERSION" in os.environ:
            work()
            return OK
        try:
            work()
        except BlitzError as error:
            log.debug("%s ended with an error", name, exc_info=True)
            failed = "failed: " if error.exit_code == FAILED else ""
            return _report(name, error.exit_code, f"{failed}{error}{_help_with(error, debug_log)}")
        except KeyboardInterrupt:
            return _report(name, INTERRUPTED, "interrupted; outputs that were already published are unchanged")
        except Exception as error:
            log.debug("%s failed", name, exc_info=True)
            return _report(name, FAILED, f"failed: {reason(error)}; the traceback is in {debug_log}")
    return OK


def _help_with(error: BlitzError, debug_log: str) -> str:
    """For a step that failed: where the traceback is if it may help, and on a line of its own how to resume."""
    if not isinstance(error, StepError):
        return ""
    traceback = f"; the traceback is in {debug_log}" if error.is_unexpected else ""
    return f"{traceback}\n{error.hint}" if error.hint else traceback


def _report(name: str, code: int, message: str) -> int:
    print(f"{name}: {message}", file=sys.stderr)
    return code
