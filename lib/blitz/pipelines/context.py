"""What the steps of one run share, and what a step leaves."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blitz.accounts import Account
from blitz.config import Config
from blitz.config.models import RunOptions
from blitz.publish.tables import Format, Published

ConfigLike = Config | Mapping[str, Any]


@dataclass
class StepResult:
    """What a step did: its output, row accounts, seconds, and what the summary at the end of a run shows."""

    step: str
    output: Published
    accounts: list[Account]
    seconds: float
    quarantine: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


def new_run_id() -> str:
    """A name for one run: time and a random part, safe in paths."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + uuid.uuid4().hex[:8]


def run_options(config: ConfigLike) -> RunOptions:
    """The ``run`` section of a config; a users' body alone has the defaults."""
    return config.run if isinstance(config, Config) else RunOptions(**config.get("run", {}))


@dataclass(frozen=True)
class RunContext:
    """What the steps of one run share."""

    run_id: str
    format: Format = "parquet"
    max_rejected_fraction: float = 0.01
    quarantine_path: str | None = None

    @classmethod
    def of(cls, config: ConfigLike, run_id: str | None = None) -> "RunContext":
        """The context that a config asks for; a users' body alone gets the defaults."""
        run = run_options(config)
        return cls(run_id or new_run_id(), run.format, float(run.max_rejected_fraction), run.quarantine_path)
