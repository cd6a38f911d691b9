"""Compute the order features of one channel; the other channels need those of ownapp."""

import argparse

from blitz.cli.arguments import add_config_arguments, add_dry_run
from blitz.cli.command import Command
from blitz.cli.run_steps import run_and_report
from blitz.raw.channels import CHANNELS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser)
    add_dry_run(parser)
    parser.add_argument("--channel", required=True, choices=list(CHANNELS), help="the channel")


def run(arguments: argparse.Namespace) -> None:
    """Run the step of the channel."""
    run_and_report("order_features", arguments, (arguments.channel,))


command = Command("order_features", __doc__, add_arguments, run)
