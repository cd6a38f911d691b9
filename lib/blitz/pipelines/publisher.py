"""How the order features of a channel are published: a ``Publisher``. ``TablePublisher`` replaces the output."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from blitz.pipelines.meanings import comment_of
from blitz.publish.tables import Format, Output, publishing


class Publisher(Protocol):
    """Publishes the order features of a channel."""

    def publishing(self) -> AbstractContextManager[Output]:
        """Start a publication: the block stages the features, checks them and commits.

        If the block raises or does not commit, the previous output stays. Raises PublishError where the output cannot
        be replaced.
        """


@dataclass(frozen=True)
class TablePublisher:
    """Replaces the output at ``path``, the order features of ``channel``, by one table."""

    path: str
    format: Format
    run_id: str
    channel: str

    def publishing(self) -> AbstractContextManager[Output]:
        """Start a publication of the whole table; see ``blitz.publish.tables.publishing``."""
        return publishing(self.path, fmt=self.format, run_id=self.run_id, comment_of=comment_of(self.channel))
