"""The command line of the report job: made again, or later, from the published outputs and the manifests."""

import argparse
from collections.abc import Sequence

from blitz.cli.main import config_arguments, guarded, read_config, use
from blitz.report.make import make_report
from blitz.spark.session import open_session

DESCRIPTION = "The run report: one HTML page from the published outputs and the manifests of the run."


def main(argv: Sequence[str] | None = None) -> int:
    """Make the report and return an exit code."""
    parser = argparse.ArgumentParser(prog="report", description=DESCRIPTION, allow_abbrev=False)
    config_arguments(parser)
    parser.add_argument("--items", action="store_true", help="count the items without a category: reads the raw lines")
    parser.add_argument("--previous", metavar="JSON", help="compare with the report.json of this run")
    arguments = parser.parse_args(argv)
    return guarded("report", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    config = use(read_config(arguments))
    session = open_session("blitz report", config.spark, config.run.s3_endpoint)
    try:
        path = make_report(
            session.spark, config, items="all" if arguments.items else "keep", previous=arguments.previous
        )
    finally:
        session.stop()
    print(f"Report:   {path}")
