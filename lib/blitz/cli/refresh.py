"""The command line of the refresh: the run with order features that keep what cannot have changed."""

import argparse
from collections.abc import Sequence

from pyspark.sql import SparkSession

from blitz.cli.main import config_arguments, guarded, run_arguments, run_job
from blitz.config import Config
from blitz.config.values import parse_date
from blitz.errors import ConfigError
from blitz.pipelines.context import RunContext, StepResult
from blitz.refresh.run import refresh
from blitz.run.core import Preflight, chosen_steps

DESCRIPTION = "The run with refreshed order features: what cannot have changed since the last refresh is kept."


def main(argv: Sequence[str] | None = None) -> int:
    """Refresh and return an exit code."""
    parser = argparse.ArgumentParser(prog="refresh", description=DESCRIPTION, allow_abbrev=False)
    config_arguments(parser)
    parser.add_argument(
        "--since", metavar="DATE", help="orders before this local day are as they were, in raw files too"
    )
    parser.add_argument("--dry-run", action="store_true", help="check and print the plan; write nothing")
    run_arguments(parser)
    arguments = parser.parse_args(argv)
    return guarded("refresh", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    steps = chosen_steps(arguments.steps)
    try:
        since = parse_date(arguments.since) if arguments.since else None
    except ValueError as error:
        raise ConfigError([f"--since: {error}"]) from error

    def compute(config: Config, spark: SparkSession, ready: Preflight, context: RunContext) -> list[StepResult]:
        return refresh(config, spark, ready, context, since)

    run_job("refresh", arguments, steps, compute, with_report=not arguments.no_report, check=_require_parquet)


def _require_parquet(config: Config) -> None:
    if config.run.format == "delta":
        raise ConfigError(["run.format: a refresh keeps Parquet files; set parquet, or use run_all for Delta"])
