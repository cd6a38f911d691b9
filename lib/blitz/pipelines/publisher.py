"""How the order features of a channel are published: a ``Publisher``. ``TablePublisher`` replaces the output."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from blitz.pipelines.context import RunContext
from blitz.publish.tables import Output


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

    context: RunContext
    path: str
    channel: str

    def publishing(self) -> AbstractContextManager[Output]:
        """Start a publication of the whole table; see ``RunContext.publishing``."""
        return self.context.publishing(self.path, self.channel)
