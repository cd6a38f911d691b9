"""Run the pipeline as of several dates, reading the raw files once.

The outputs of each date are the same as those of a run as of that date.
"""

import argparse

from blitz.cli import console
from blitz.cli.arguments import a_path, add_config_arguments, add_dry_run, apply_runtime_settings, read_config
from blitz.cli.command import Command
from blitz.cli.sessions import session_for
from blitz.pipelines.context import new_run_id
from blitz.run.backfill import STRIDES, backfill, require_own_places, require_scratch, run_dates
from blitz.run.preflight import preflight, reads_tables
from blitz.run.steps import chosen_steps
from blitz.text import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser, with_as_of=False)
    add_dry_run(parser)
    parser.add_argument("--from", required=True, dest="first", metavar="DATE", help="first run date (YYYY-MM-DD)")
    parser.add_argument("--to", required=True, dest="last", metavar="DATE", help="latest possible run date")
    parser.add_argument("--every", choices=STRIDES, default="month", help="interval between run dates (default month)")
    parser.add_argument("--steps", metavar="A,B", help="run only these steps, as in run_all")
    parser.add_argument(
        "--scratch", type=a_path, metavar="DIR", help="folder for shared intermediate data, removed at the end"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the steps as of each date and print the outputs."""
    steps = chosen_steps(arguments.steps)
    dates = run_dates(arguments.first, arguments.last, arguments.every)
    configs = [read_config(arguments, each.isoformat()) for each in dates]
    first = apply_runtime_settings(configs[0])
    require_own_places(configs, steps)
    require_scratch(first, arguments.scratch)
    if arguments.dry_run:
        plan = console.plan(first, preflight(first, steps))
        print(f"Run dates: {', '.join(map(str, dates))}. As of the first:\n\n{plan}")
        return
    ready = None if reads_tables(first, steps) else preflight(first, steps)
    with session_for("backfill", first) as spark:
        ready = ready or preflight(first, steps, spark)
        done = backfill(configs, spark, ready, new_run_id(), arguments.scratch)
    rows = [
        (str(each), r.step, r.output.rows, r.seconds, r.output.path) for each, results in done.items() for r in results
    ]
    print(table(("Run date", "Output", "Rows", "Seconds", "Path"), rows))


command = Command("backfill", __doc__, add_arguments, run)
