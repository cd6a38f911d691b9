"""What the steps of one run share, and what a step returns."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from blitz.accounts import Account
from blitz.catalog.spelling import PLAIN, Spelling
from blitz.config import Config
from blitz.pipelines.meanings import comment_of
from blitz.pipelines.spelling import spelling_of
from blitz.publish.catalog import CommentOf
from blitz.publish.tables import Format, Output, Published, publishing, read_output
from blitz.spark.engine import Engine, chosen_engine
from blitz.spark.session import open_session


@dataclass
class StepResult:
    """What a step did: its output, row accounts, seconds, and details for the manifest and the summary."""

    step: str
    output: Published
    accounts: list[Account]
    seconds: float
    quarantine: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


def new_run_id() -> str:
    """A name for one run: time and a random part, safe in paths."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + uuid.uuid4().hex[:8]


def session_of(config: Config) -> SparkSession:
    """The active session, or a new one of the config's engine. Raises BlitzError where Spark does not start."""
    engine = Engine(chosen_engine(config.run.engine), config.run.memory)
    return open_session("blitz", config.spark, config.run.s3_endpoint, engine).spark


@dataclass(frozen=True)
class RunContext:
    """The run that a step belongs to, and what the config says of every step under ``run``: how outputs are written
    and read, among other things."""

    run_id: str
    format: Format = "parquet"
    max_rejected_fraction: float = 0.01
    quarantine_path: str | None = None
    allow_repeated_files: bool = False
    suppression_path: str | None = None
    spelling: Spelling = PLAIN

    @classmethod
    def of(cls, config: Config, run_id: str | None = None) -> "RunContext":
        """The context of a new run of a config."""
        run = config.run
        return cls(
            run_id or new_run_id(),
            run.format,
            float(run.max_rejected_fraction),
            run.quarantine_path,
            run.allow_repeated_files,
            run.suppression_path,
            spelling_of(config),
        )

    def read(self, spark: SparkSession, path: str) -> DataFrame:
        """The rows of a published output, its columns with their original names; InputError where there is none."""
        return self.spelling.read(read_output(spark, path, self.format))

    @contextmanager
    def publishing(self, path: str, step: str, is_checked: bool = True) -> Iterator[Output]:
        """Publish the output of a step at ``path``; see ``blitz.publish.tables.publishing``."""
        comment_of = self._comment_of(step)
        with publishing(
            path, fmt=self.format, run_id=self.run_id, is_checked=is_checked, comment_of=comment_of
        ) as output:
            yield _SpelledOutput(output, self.spelling, path)

    def publish(self, df: DataFrame, path: str, step: str) -> Published:
        """Publish the output of a step at ``path`` without checks; see ``blitz.publish.tables.publish``."""
        with self.publishing(path, step, is_checked=False) as output:
            output.stage(df)
            return output.commit()

    def _comment_of(self, step: str) -> CommentOf:
        comment = comment_of(step)
        return lambda column: comment(self.spelling.original(column))


def read_published(spark: SparkSession, path: str, config: Config) -> DataFrame:
    """The rows of an output of a config, its columns with their original names; InputError where there is none."""
    return RunContext.of(config).read(spark, path)


@dataclass(frozen=True)
class _SpelledOutput:
    """An output whose columns are written as the config spells them."""

    output: Output
    spelling: Spelling
    path: str

    def stage(self, df: DataFrame) -> Published:
        return self.output.stage(self.spelling.written(df, self.path))

    def rows(self) -> DataFrame:
        return self.spelling.read(self.output.rows())

    def commit(self) -> Published:
        return self.output.commit()
