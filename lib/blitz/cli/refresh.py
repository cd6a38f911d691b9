"""Run the pipeline incrementally: order features that cannot have changed since the last refresh are kept."""

import argparse

from pyspark.sql import SparkSession

from blitz.cli import console
from blitz.cli.arguments import add_run_arguments
from blitz.cli.command import Command
from blitz.cli.run_steps import run_and_report
from blitz.config import Config
from blitz.config.paths import tables_of
from blitz.config.values import parse_date
from blitz.errors import ConfigError
from blitz.pipelines.context import RunContext, StepResult
from blitz.refresh.plan import describe
from blitz.refresh.run import plan_refresh, refresh
from blitz.run.steps import Preflight, chosen_steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_run_arguments(parser)
    text = "assert that orders before this local day did not change, in the raw files either"
    parser.add_argument("--since", metavar="DATE", help=text)


def run(arguments: argparse.Namespace) -> None:
    """Refresh the order features and run the other steps in full."""
    steps = chosen_steps(arguments.steps)
    try:
        since = parse_date(arguments.since) if arguments.since else None
    except ValueError as error:
        raise ConfigError([f"--since: {error}"]) from error

    def compute(config: Config, spark: SparkSession, ready: Preflight, context: RunContext) -> list[StepResult]:
        return refresh(config, spark, ready, context, since)

    def plan(config: Config, ready: Preflight) -> str:
        plans = plan_refresh(config, ready, since)
        return "\n\n".join([console.plan(config, ready), *([describe(plans)] if plans else [])])

    with_report = not arguments.no_report
    run_and_report("refresh", arguments, steps, compute, with_report, check=_require_parquet, describe=plan)


def _require_parquet(config: Config) -> None:
    """Raise ConfigError for what a refresh cannot update in part: it reads and links Parquet files."""
    problems = [
        f"{key}: {name}: a refresh reads files, no tables of a catalog; use run_all" for key, name in tables_of(config)
    ]
    if config.run.format != "parquet":
        problems.append("run.format: a refresh needs Parquet outputs; set parquet, or use run_all for Delta")
    if config.run.snake_case_columns:
        problems.append("run.snake_case_columns: a refresh needs the original names; switch it off, or use run_all")
    if problems:
        raise ConfigError(problems)


command = Command("refresh", __doc__, add_arguments, run)
