"""The run with refreshed order features: what cannot have changed since the last refresh is kept."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package stands beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz import console
from blitz.cli import config_arguments, guarded, read_config, use
from blitz.config_values import parse_date
from blitz.errors import ConfigError
from blitz.pipelines import RunContext
from blitz.refresh_run import refresh
from blitz.run import chosen_steps, manifest, manifest_path, preflight, write_manifest
from blitz.session import open_session


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="refresh", description=__doc__)
    config_arguments(parser)
    parser.add_argument(
        "--since", metavar="DATE", help="orders before this local day are as they were, in raw files too"
    )
    parser.add_argument("--steps", metavar="A,B", help="only these steps, as of run_all")
    parser.add_argument("--dry-run", action="store_true", help="check and print the plan; write nothing")
    arguments = parser.parse_args(argv)
    return guarded("refresh", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Check everything, then refresh and run the steps behind."""
    steps = chosen_steps(arguments.steps)
    try:
        since = parse_date(arguments.since) if arguments.since else None
    except ValueError as error:
        raise ConfigError([f"--since: {error}"]) from error
    config = use(read_config(arguments))
    ready = preflight(config, steps)
    if config.run.format == "delta":
        raise ConfigError(["run.format: a refresh keeps Parquet files; set parquet, or use run_all for Delta"])
    if arguments.dry_run:
        print(console.plan(config, ready))
        return
    context = RunContext.of(config)
    session = open_session("blitz refresh", config.spark, config.run.s3_endpoint)
    try:
        results = refresh(config, session.spark, ready, context, since)
        target = manifest_path(config, steps)
        write_manifest(target, manifest(config, session.spark, ready, results, context.run_id))
    finally:
        session.stop()
    print(console.summary(results))
    print(f"\nManifest: {target}")


if __name__ == "__main__":
    code = main()
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
