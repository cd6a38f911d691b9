"""The outputs of a run's steps: staged first, then published one after the other, once all of them were checked."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from pyspark.sql import DataFrame, SparkSession

from blitz.pipelines.context import RunContext, StepResult
from blitz.publish.tables import Output


@dataclass(frozen=True)
class StagedStep:
    """A step whose output is staged and passed its checks.

    Args:
        result: what the step did until now.
        output: the publication of its output; None where the output is published already, or stays as it is.
        finish: called once the output is published.
    """

    result: StepResult
    output: Output | None = None
    finish: Callable[[], None] | None = None

    def commit(self) -> StepResult:
        """Publish the output and return the result. Raises PublishError where that fails."""
        started = time.monotonic()
        published = self.output.commit() if self.output else self.result.output
        if self.finish:
            self.finish()
        return replace(self.result, output=published, seconds=self.result.seconds + time.monotonic() - started)


class RunOutputs:
    """The publications that are open in a run. At the end of the block, those without a commit are rolled back.

    Args:
        spark: the session.
        context: the run.
    """

    def __init__(self, spark: SparkSession, context: RunContext) -> None:
        self._spark, self._context = spark, context
        self._open: dict[str, Output] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._open.clear()
        return self._stack.__exit__(kind, error, trace)

    def open(self, path: str, publication: AbstractContextManager[Output]) -> Output:
        """Start the publication of the output at ``path``; it stays open until the end of the block.

        Raises PublishError where the output cannot be replaced.
        """
        output = self._stack.enter_context(publication)
        self._open[path] = output
        return output

    def is_open(self, path: str) -> bool:
        """Whether a step of this run replaces the output at ``path``."""
        return path in self._open

    def read(self, path: str) -> DataFrame:
        """The rows that a step of this run staged for ``path``, else those published there; InputError where there is
        no table."""
        return self._open[path].rows() if path in self._open else self._context.read(self._spark, path)
