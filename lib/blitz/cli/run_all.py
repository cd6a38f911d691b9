"""Run the pipeline: raw files of three channels to customer features, segments and micro-segments."""

import argparse

from blitz.cli.arguments import add_run_arguments
from blitz.cli.command import Command
from blitz.cli.run_steps import run_and_report
from blitz.run.steps import chosen_steps


def run(arguments: argparse.Namespace) -> None:
    """Run the steps of ``--steps``, by default all."""
    steps = chosen_steps(arguments.steps)
    run_and_report("run_all", arguments, steps, with_report=not arguments.no_report)


command = Command("run_all", __doc__, add_run_arguments, run)
