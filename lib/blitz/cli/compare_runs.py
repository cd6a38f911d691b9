"""Compare two runs: who changed segment and why, and how far features, segments and centroids drifted."""

import argparse

from blitz.cli.arguments import a_path, add_engine
from blitz.cli.command import Command
from blitz.cli.sessions import spark_session
from blitz.drift.compare import compare
from blitz.drift.runs import read_run
from blitz.drift.tables import alarms, format_comparison, write
from blitz.errors import BlitzError
from blitz.spark.engine import Engine, chosen_engine


class DriftAlarm(BlitzError):
    """A population stability index above ``--max-psi``; the comparison itself is complete and written."""

    exit_code = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    run_file = "manifest.json or config of the {} run"
    add_engine(parser)
    parser.add_argument("--before", type=a_path, required=True, metavar="A.json", help=run_file.format("earlier"))
    parser.add_argument("--after", type=a_path, required=True, metavar="B.json", help=run_file.format("later"))
    parser.add_argument(
        "--out", type=a_path, required=True, metavar="DIR", help="folder for the Parquet tables and compare.json"
    )
    parser.add_argument("--max-psi", type=_positive, metavar="X", help="alarm above this index, e.g. 0.25")
    parser.add_argument("--bins", type=_bins, default=10, metavar="N", help="bins per feature (default 10)")


def run(arguments: argparse.Namespace) -> None:
    """Compare the runs, publish the tables and print a summary. Raises DriftAlarm above ``--max-psi``."""
    before, after = read_run(arguments.before), read_run(arguments.after)
    settings, endpoint = after.spark or before.spark, after.s3_endpoint or before.s3_endpoint
    engine = Engine(chosen_engine(after.engine, arguments.engine))
    with spark_session("compare_runs", settings, endpoint, engine) as spark:
        body = compare(spark, before, after, arguments.bins)
        written = write(spark, body, arguments.out)
    print(format_comparison(body))
    print("\nWritten: " + "\n         ".join(written))
    found = alarms(body, arguments.max_psi) if arguments.max_psi is not None else []
    if found:
        listed = ", ".join(f"{name} {value:.4f}" for name, value in found)
        raise DriftAlarm(f"above --max-psi {arguments.max_psi:g}: {listed}")


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _bins(text: str) -> int:
    number = int(text)
    if not 2 <= number <= 100:
        raise argparse.ArgumentTypeError("must be between 2 and 100")
    return number


EPILOG = f"Exit code {DriftAlarm.exit_code}: an index exceeds --max-psi."
command = Command("compare_runs", __doc__, add_arguments, run, EPILOG)
