"""Where the order features of a channel go: a ``Publisher``. ``TablePublisher`` replaces the output as one table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pyspark.sql import DataFrame

from blitz.publish.tables import Format, Published, publish


class Publisher(Protocol):
    """Publishes the order features of a channel."""

    def publish(self, features: DataFrame, check: Callable[[int], None]) -> Published:
        """Write ``features``, call ``check`` with the number of rows, then replace the output.

        An error that ``check`` raises stops the publication; the previous output stays. Raises PublishError where the
        output cannot be replaced.
        """


@dataclass(frozen=True)
class TablePublisher:
    """Replaces the whole output at ``path``."""

    path: str
    format: Format
    run_id: str

    def publish(self, features: DataFrame, check: Callable[[int], None]) -> Published:
        """Write ``features``, call ``check``, then replace the output."""
        return publish(features, self.path, fmt=self.format, run_id=self.run_id, check=check)
