"""What the commands that run steps share: check everything, run, write manifest and report, print the summary."""

import argparse
import logging
from collections.abc import Callable, Sequence

from pyspark.sql import SparkSession

from blitz.cli import console
from blitz.cli.arguments import add_config_arguments, add_dry_run, apply_runtime_settings, read_config
from blitz.cli.command import Command
from blitz.cli.logs import WarningCollector
from blitz.cli.sessions import session_for
from blitz.config import Config
from blitz.errors import BlitzError
from blitz.pipelines.context import RunContext, StepResult
from blitz.raw.channels import CHANNELS
from blitz.run.execute import run_steps
from blitz.run.manifest import manifest, manifest_path, write_manifest
from blitz.run.preflight import preflight, reads_tables
from blitz.run.steps import Preflight
from blitz.spark.failures import reason

log = logging.getLogger("blitz")

Compute = Callable[[Config, SparkSession, Preflight, RunContext], list[StepResult]]


def step_command(name: str, description: str, step: str) -> Command:
    """Return the command that runs one step."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_config_arguments(parser)
        add_dry_run(parser)

    return Command(name, description, add_arguments, lambda arguments: run_and_report(name, arguments, (step,)))


def run_and_report(
    name: str,
    arguments: argparse.Namespace,
    steps: Sequence[str],
    compute: Compute = run_steps,
    with_report: bool = False,
    check: Callable[[Config], None] | None = None,
    describe: Callable[[Config, Preflight], str] = console.plan,
) -> None:
    """Check everything, compute the steps, write the manifest and the report, print the summary.

    With ``--dry-run`` only check and print the plan.

    Args:
        name: the command.
        arguments: those of ``add_config_arguments`` and ``add_dry_run``.
        steps: the steps to run.
        compute: computes and publishes the steps.
        with_report: whether to build the report.
        check: raises ConfigError for what else the config must fulfil.
        describe: returns the plan that a dry run prints.
    """
    warnings = WarningCollector()
    log.addHandler(warnings)
    config = apply_runtime_settings(read_config(arguments))
    if check:
        check(config)
    if arguments.dry_run:
        print(describe(config, preflight(config, steps)))
        return
    # Tables of a catalog are looked up by a session; what else is wrong is then in the same message.
    ready = None if reads_tables(config, steps) else preflight(config, steps)
    context = RunContext.of(config)
    with session_for(name, config) as spark:
        ready = ready or preflight(config, steps, spark)
        results = compute(config, spark, ready, context)
        target = manifest_path(config, steps)
        write_manifest(target, manifest(config, spark, ready, results, context.run_id, warnings.texts))
        page = _build_report(spark, config, steps) if with_report else None
    print(console.summary(results))
    print(f"\nManifest: {target}")
    if page:
        print(f"Report:   {page}")


def _build_report(spark: SparkSession, config: Config, steps: Sequence[str]) -> str:
    """Build the report of the published outputs; returns its path, or why it was not built.

    The tables are already published, so a report that fails is a warning and not a failed run.
    """
    try:
        from blitz.report.make import make_report  # Jinja2 and the charts, which no other command needs

        return make_report(spark, config, items="small" if set(CHANNELS) <= set(steps) else "keep")
    except Exception as error:
        log.debug("the report failed", exc_info=True)
        cause = str(error).splitlines()[0] if isinstance(error, BlitzError) else reason(error)
        message = f"not built: {cause}; the tables are published; build it later with jobs/report.py"
        log.warning("report: %s", message)
        return message
