"""Build the run report, one HTML page, from the published outputs and the manifests."""

import argparse

from blitz.cli.arguments import a_path, add_config_arguments, apply_runtime_settings, read_config
from blitz.cli.command import Command
from blitz.cli.sessions import session_for
from blitz.report.make import make_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser)
    parser.add_argument("--items", action="store_true", help="also count items without a category in the raw lines")
    parser.add_argument("--previous", type=a_path, metavar="JSON", help="report.json of the run to compare with")


def run(arguments: argparse.Namespace) -> None:
    """Build the report and print its path."""
    config = apply_runtime_settings(read_config(arguments))
    with session_for("report", config) as spark:
        path = make_report(spark, config, items="all" if arguments.items else "keep", previous=arguments.previous)
    print(f"Report:   {path}")


command = Command("report", __doc__, add_arguments, run)
