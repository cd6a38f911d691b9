"""Compare two runs: who changed segment and why, and how far features, segments and centroids drifted."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package stands beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz.cli.main import OK, guarded
from blitz.drift.compare import compare
from blitz.drift.runs import read_run
from blitz.drift.tables import alarms, told, write
from blitz.spark.session import open_session

ALARM = 3


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="compare_runs",
        description=__doc__,
        epilog=f"Exit code {ALARM}: an index exceeds --max-psi.",
    )
    parser.add_argument("--before", required=True, metavar="A.json", help="manifest.json or config of the run before")
    parser.add_argument("--after", required=True, metavar="B.json", help="manifest.json or config of the run after")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the Parquet tables and compare.json")
    parser.add_argument("--max-psi", type=positive, metavar="X", help="alarm above this index, e.g. 0.25")
    parser.add_argument("--bins", type=bins, default=10, metavar="N", help="bins per feature (default 10)")
    arguments = parser.parse_args(argv)
    raised: list[tuple[str, float]] = []
    code = guarded("compare_runs", lambda: raised.extend(run(arguments)))
    if code != OK or not raised:
        return code
    named = ", ".join(f"{name} {value:.4f}" for name, value in raised)
    print(f"compare_runs: above --max-psi {arguments.max_psi:g}: {named}", file=sys.stderr)
    return ALARM


def positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def bins(text: str) -> int:
    number = int(text)
    if not 2 <= number <= 100:
        raise argparse.ArgumentTypeError("must be between 2 and 100")
    return number


def run(arguments: argparse.Namespace) -> list[tuple[str, float]]:
    """Compare, publish and print; returns what exceeds ``--max-psi``."""
    before, after = read_run(arguments.before), read_run(arguments.after)
    session = open_session("blitz compare_runs", after.spark or before.spark, after.s3_endpoint or before.s3_endpoint)
    try:
        body = compare(session.spark, before, after, arguments.bins)
        written = write(session.spark, body, arguments.out)
    finally:
        session.stop()
    print(told(body))
    print("\nWritten: " + "\n         ".join(written))
    return [] if arguments.max_psi is None else alarms(body, arguments.max_psi)


if __name__ == "__main__":
    code = main()
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
