"""The command line of the jobs: arguments, logs, exit codes. Every job is ``main`` with its steps.

Exit code 0 on success; 2 for a config error, with every problem listed; 1 for a failed run, with one clear line.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from blitz import console, storage
from blitz.config import Config, load_config
from blitz.errors import BlitzError, ConfigError, RuleError
from blitz.pipelines import RunContext
from blitz.run import STEPS, chosen_steps, manifest, manifest_path, preflight, run_steps, write_manifest
from blitz.session import open_session

log = logging.getLogger("blitz")

OK, FAILED, BAD_CONFIG = 0, 1, 2


def config_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that name the config, the same for every job."""
    parser.add_argument("--conf", metavar="PATH", help="config file, e.g. conf/prod.json")
    parser.add_argument("--feature_pipeline_config", metavar="PATH", help="the feature pipeline's own config file")
    parser.add_argument("--segmentation_config", metavar="PATH", help="the segmentation's own config file")
    parser.add_argument("--as-of", metavar="DATE", help="run as of this date (YYYY-MM-DD) instead of current_run_date")


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


def main(job: str, description: str, steps: Sequence[str] | None = None, argv: Sequence[str] | None = None) -> int:
    """Run a job and return its exit code. ``steps`` None: all, or those of ``--steps``."""
    parser = argparse.ArgumentParser(prog=job, description=description)
    config_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="check config, rules, files and models; write nothing")
    if steps is None:
        parser.add_argument("--steps", metavar="A,B", help=f"only these steps of {','.join(STEPS)}")
    elif set(steps) <= {"ownapp", "swiggy", "instore"}:
        parser.add_argument("--channel", required=True, choices=list(steps), help="the channel to work on")
    arguments = parser.parse_args(argv)
    return guarded(job, lambda: _run(job, arguments, steps))


def guarded(job: str, work) -> int:  # type: ignore[no-untyped-def]
    """Run ``work`` and turn what it raises into one clear message and an exit code.

    On Databricks what it raises goes on: a task fails by an exception, and its page shows the message.
    """
    debug_log = start_logging(job)
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        work()
        return OK
    try:
        work()
    except (ConfigError, RuleError) as error:
        log.debug("config error", exc_info=True)
        print(f"{job}: {error}", file=sys.stderr)
        return BAD_CONFIG
    except BlitzError as error:
        log.debug("the run failed", exc_info=True)
        print(f"{job}: failed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"{job}: interrupted; what was published before is unchanged", file=sys.stderr)
        return 130
    except Exception as error:
        log.debug("the run failed", exc_info=True)
        first = (str(error).strip().splitlines() or [""])[0][:300]
        print(f"{job}: failed: {type(error).__name__}: {first}; the trace is in {debug_log}", file=sys.stderr)
        return FAILED
    return OK


def _run(job: str, arguments: argparse.Namespace, steps: Sequence[str] | None) -> None:
    if steps is None:
        chosen = chosen_steps(arguments.steps)
    else:
        chosen = (arguments.channel,) if hasattr(arguments, "channel") else tuple(steps)
    config = read_config(arguments)
    if config.run.debug_log:
        log_to(config.run.debug_log)
    storage.configure(endpoint=config.run.s3_endpoint, region=config.run.s3_region)
    ready = preflight(config, chosen)
    if arguments.dry_run:
        print(console.plan(config, ready))
        return
    context = RunContext.of(config)
    session = open_session(f"blitz {job}", config.spark, config.run.s3_endpoint)
    try:
        results = run_steps(config, session.spark, ready, context)
        target = manifest_path(config, chosen)
        write_manifest(target, manifest(config, session.spark, ready, results, context.run_id))
    finally:
        session.stop()
    print(console.summary(results))
    print(f"\nManifest: {target}")


def start_logging(job: str) -> str:
    """Counts and seconds to the terminal, everything to a debug log; returns the debug log's path."""
    log.setLevel(logging.DEBUG)
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.INFO)
    terminal.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    log.addHandler(terminal)
    log.propagate = False
    logging.captureWarnings(True)
    path = Path(tempfile.gettempdir()) / f"blitz-{job}.debug.log"
    return log_to(str(path))


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
