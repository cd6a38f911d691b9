"""Explain why a customer is in its segment and micro-segments, from the published outputs."""

import argparse
import json

from blitz.cli.arguments import add_config_arguments, apply_runtime_settings, read_config
from blitz.cli.command import Command
from blitz.cli.sessions import session_for
from blitz.explain.lookup import explain
from blitz.explain.text import format_explanation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser)
    parser.add_argument("--customer", required=True, metavar="ID", help="the algonomy_id, with its leading zeros")
    parser.add_argument("--json", action="store_true", help="print JSON, with every feature and pull")


def run(arguments: argparse.Namespace) -> None:
    """Look the customer up and print the explanation."""
    config = apply_runtime_settings(read_config(arguments))
    with session_for("explain", config) as spark:
        body = explain(config, spark, arguments.customer)
    print(json.dumps(body, indent=2, ensure_ascii=False) if arguments.json else format_explanation(body))


command = Command("explain", __doc__, add_arguments, run)
