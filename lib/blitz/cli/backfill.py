"""The command line of the backfill: runs as of several dates."""

import argparse
from collections.abc import Sequence

from blitz.cli import console
from blitz.cli.main import config_arguments, guarded, read_config, use
from blitz.config import Config
from blitz.pipelines.context import new_run_id
from blitz.run.backfill import STRIDES, backfill, require_own_places, run_dates
from blitz.run.core import chosen_steps, preflight
from blitz.spark.session import open_session

DESCRIPTION = "The run as of several dates, the raw files read once; each date's outputs are those of a run of its own."


def main(argv: Sequence[str] | None = None) -> int:
    """Run as of every date and return an exit code."""
    parser = argparse.ArgumentParser(prog="backfill", description=DESCRIPTION, allow_abbrev=False)
    config_arguments(parser, with_as_of=False)
    parser.add_argument("--from", required=True, dest="first", metavar="DATE", help="the first run date (YYYY-MM-DD)")
    parser.add_argument("--to", required=True, dest="last", metavar="DATE", help="the last day that may be a run date")
    parser.add_argument("--every", choices=STRIDES, default="month", help="how far apart (default month)")
    parser.add_argument("--steps", metavar="A,B", help="only these steps, as of run_all")
    parser.add_argument("--scratch", metavar="DIR", help="folder for what the dates share, removed at the end")
    parser.add_argument("--dry-run", action="store_true", help="check and print the plan; write nothing")
    arguments = parser.parse_args(argv)
    return guarded("backfill", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    steps = chosen_steps(arguments.steps)
    dates = run_dates(arguments.first, arguments.last, arguments.every)
    configs: list[Config] = []
    for each in dates:
        arguments.as_of = each.isoformat()
        configs.append(read_config(arguments))
    first = use(configs[0])
    require_own_places(configs, steps)
    ready = preflight(first, steps)
    if arguments.dry_run:
        print(f"Run dates: {', '.join(map(str, dates))}. As of the first:\n\n{console.plan(first, ready)}")
        return
    session = open_session("blitz backfill", first.spark, first.run.s3_endpoint)
    try:
        done = backfill(configs, session.spark, ready, new_run_id(), arguments.scratch)
    finally:
        session.stop()
    rows = [
        (str(each), r.step, r.output.rows, r.seconds, r.output.path) for each, results in done.items() for r in results
    ]
    print(console.table(("Run date", "Output", "Rows", "Seconds", "Where"), rows))
