"""Logs of a command: progress on the terminal, everything in a debug log."""

import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blitz.errors import ConfigError

log = logging.getLogger("blitz")


class WarningCollector(logging.Handler):
    """Collects the texts of warnings and errors while a run logs them, for its manifest."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Append the message of the record to ``texts``."""
        self.texts.append(record.getMessage())


@contextmanager
def logging_of(command: str) -> Iterator[str]:
    """Within this context, log progress to stderr and everything to a debug log; yields the debug log's path.

    Afterwards the logger is restored: a caller that runs a command in its own process keeps its own logging.
    """
    level, handlers, propagate = log.level, list(log.handlers), log.propagate
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.INFO)
    terminal.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    log.handlers[:] = [terminal]
    log.setLevel(logging.DEBUG)
    log.propagate = False
    logging.captureWarnings(True)
    try:
        yield log_to(str(Path(tempfile.gettempdir()) / f"blitz-{command}.debug.log"))
    finally:
        for handler in log.handlers:
            handler.close()
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate = propagate
        logging.captureWarnings(False)


def log_to(path: str) -> str:
    """Append the debug log to the file ``path`` from now on; returns the path. Raises ConfigError if it cannot."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, mode="a", encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"run.debug_log: cannot write {path}: {error.strerror}"]) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log.addHandler(handler)
    return path
