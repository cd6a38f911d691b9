"""What the steps of one run share, and what a step returns."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import SparkSession

from blitz.accounts import Account
from blitz.config import Config
from blitz.publish.tables import Format, Published
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
    """The run that a step belongs to, and what the config says of every step under ``run``."""

    run_id: str
    format: Format = "parquet"
    max_rejected_fraction: float = 0.01
    quarantine_path: str | None = None
    allow_repeated_files: bool = False
    suppression_path: str | None = None

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
        )
