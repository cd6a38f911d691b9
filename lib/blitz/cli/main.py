"""The command line of the jobs: arguments, logs, exit codes. Every job is ``main`` with its steps.

Exit code 0 on success; 2 for a config error, with every problem listed; 1 for a failed run, with one clear line.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from blitz import storage
from blitz.cli import console
from blitz.config import Config, load_config
from blitz.errors import BlitzError, ConfigError, RuleError
from blitz.pipelines.context import RunContext, StepResult
from blitz.raw.channels import CHANNELS
from blitz.run.core import STEPS, Preflight, chosen_steps, manifest, manifest_path, preflight, run_steps, write_manifest
from blitz.spark.failures import reason
from blitz.spark.session import open_session

log = logging.getLogger("blitz")

OK, FAILED, BAD_CONFIG, INTERRUPTED = 0, 1, 2, 130

Compute = Callable[[Config, SparkSession, Preflight, RunContext], list[StepResult]]


def config_arguments(parser: argparse.ArgumentParser, with_as_of: bool = True) -> None:
    """The arguments that name the config, the same for every job; ``--as-of`` is not for one with dates of its own."""
    parser.add_argument("--conf", metavar="PATH", help="config file, e.g. conf/prod.json")
    parser.add_argument("--feature_pipeline_config", metavar="PATH", help="the feature pipeline's own config file")
    parser.add_argument("--segmentation_config", metavar="PATH", help="the segmentation's own config file")
    if with_as_of:
        parser.add_argument("--as-of", metavar="DATE", help="run as of this date (YYYY-MM-DD), not current_run_date")


def read_config(arguments: argparse.Namespace) -> Config:
    """The config that the arguments name. Raises ConfigError."""
    if not (arguments.conf or arguments.feature_pipeline_config or arguments.segmentation_config):
        raise ConfigError(["no config given: --conf PATH, or --feature_pipeline_config P --segmentation_config P"])
    return load_config(
        conf=arguments.conf,
        feature_pipeline=arguments.feature_pipeline_config,
        segmentation=arguments.segmentation_config,
        as_of=arguments.as_of or None,  # an empty job parameter: as in the config
    )


def use(config: Config) -> Config:
    """The config, after its debug log and its S3 are taken into use."""
    if config.run.debug_log:
        log_to(config.run.debug_log)
    storage.configure(endpoint=config.run.s3_endpoint, region=config.run.s3_region)
    return config


def main(job: str, description: str, steps: Sequence[str] | None = None, argv: Sequence[str] | None = None) -> int:
    """Run a job and return its exit code. ``steps`` None: all, or those of ``--steps``."""
    parser = argparse.ArgumentParser(prog=job, description=description, allow_abbrev=False)
    config_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="check config, rules, files and models; write nothing")
    if steps is None:
        run_arguments(parser)
    elif set(steps) <= {"ownapp", "swiggy", "instore"}:
        parser.add_argument("--channel", required=True, choices=list(steps), help="the channel to work on")
    arguments = parser.parse_args(argv)
    return guarded(job, lambda: _run(job, arguments, steps))


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of jobs that run all steps."""
    parser.add_argument("--steps", metavar="A,B", help=f"only these steps of {','.join(STEPS)}")
    parser.add_argument("--no-report", action="store_true", help="make no report at the end")


def guarded(job: str, work: Callable[[], None]) -> int:
    """Run ``work`` and turn what it raises into one clear message and an exit code.

    On Databricks what it raises goes on: a task fails by an exception, and its page shows the message.
    """
    with logging_of(job) as debug_log:
        if "DATABRICKS_RUNTIME_VERSION" in os.environ:
            work()
            return OK
        try:
            work()
        except (ConfigError, RuleError) as error:
            log.debug("config error", exc_info=True)
            return _ended(job, BAD_CONFIG, str(error))
        except BlitzError as error:
            log.debug("the run failed", exc_info=True)
            return _ended(job, FAILED, f"failed: {error}")
        except KeyboardInterrupt:
            return _ended(job, INTERRUPTED, "interrupted; what was published before is unchanged")
        except Exception as error:
            log.debug("the run failed", exc_info=True)
            where = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
            return _ended(job, FAILED, f"failed: {where}{reason(error)}; the trace is in {debug_log}")
    return OK


def _ended(job: str, code: int, message: str) -> int:
    print(f"{job}: {message}", file=sys.stderr)
    return code


def _run(job: str, arguments: argparse.Namespace, steps: Sequence[str] | None) -> None:
    if steps is None:
        run_job(job, arguments, chosen_steps(arguments.steps), with_report=not arguments.no_report)
    else:
        run_job(job, arguments, (arguments.channel,) if hasattr(arguments, "channel") else tuple(steps))


def run_job(
    job: str,
    arguments: argparse.Namespace,
    steps: Sequence[str],
    compute: Compute = run_steps,
    with_report: bool = False,
    check: Callable[[Config], None] | None = None,
) -> None:
    """Check everything, compute the steps, write the manifest and the report, print what was done.

    ``arguments``: those of ``config_arguments`` and ``dry_run``; ``check``: what else the config must fulfil.
    """
    warned = _Warnings()
    log.addHandler(warned)
    config = use(read_config(arguments))
    ready = preflight(config, steps)
    if check:
        check(config)
    if arguments.dry_run:
        print(console.plan(config, ready))
        return
    context = RunContext.of(config)
    session = open_session(f"blitz {job}", config.spark, config.run.s3_endpoint)
    try:
        results = compute(config, session.spark, ready, context)
        target = manifest_path(config, steps)
        write_manifest(target, manifest(config, session.spark, ready, results, context.run_id, warned.texts))
        page = _report(session.spark, config, steps) if with_report else None
    finally:
        session.stop()
    print(console.summary(results))
    print(f"\nManifest: {target}")
    if page:
        print(f"Report:   {page}")


class _Warnings(logging.Handler):
    """Keeps the warnings of a run for its manifest."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _report(spark: SparkSession, config: Config, steps: Sequence[str]) -> str:
    """Make the report of what is published now; returns where it is, or why there is none.

    The tables are published and good whatever happens here: a report that fails is a warning, not a failed run.
    """
    try:
        from blitz.report.make import make_report  # Jinja2 and the charts, which no other job needs

        return make_report(spark, config, items="small" if set(CHANNELS) <= set(steps) else "keep")
    except Exception as error:
        log.debug("the report failed", exc_info=True)
        cause = str(error).splitlines()[0] if isinstance(error, BlitzError) else reason(error)
        told = f"not made: {cause}; the tables are published, jobs/report.py makes it later"
        log.warning("report: %s", told)
        return told


@contextmanager
def logging_of(job: str) -> Iterator[str]:
    """While a job runs: counts and seconds to the terminal, everything to a debug log, whose path this gives.

    Afterwards the logger is as it was: a caller that runs a job in its own process keeps its own logging.
    """
    level, handlers, propagate = log.level, list(log.handlers), log.propagate
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.INFO)
    terminal.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    log.handlers[:] = [terminal]
    log.setLevel(logging.DEBUG)
    log.propagate = False
    logging.captureWarnings(True)
    try:
        yield log_to(str(Path(tempfile.gettempdir()) / f"blitz-{job}.debug.log"))
    finally:
        for handler in log.handlers:
            handler.close()
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate = propagate
        logging.captureWarnings(False)


def log_to(path: str) -> str:
    """Write the debug log to ``path`` from now on; returns it."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, mode="a", encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"run.debug_log: cannot write {path}: {error.strerror}"]) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log.addHandler(handler)
    return path
