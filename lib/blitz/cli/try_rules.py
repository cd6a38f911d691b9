"""Try a rule file on the published customer features, without publishing: who would move, and why.

Exit code 0: tried; 1: an output is missing or lacks a column; 2: the rule file or the config is not valid, or the rules
are not proven.
"""

import argparse
import json

from blitz.cli.arguments import add_config_arguments, apply_runtime_settings, read_config
from blitz.cli.command import Command
from blitz.cli.sessions import session_for
from blitz.drift.trial import try_rules
from blitz.drift.trial_text import format_trial
from blitz.errors import InputError, RuleError
from blitz.segmentation.rules import load_rules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("rules", metavar="NEW.json", help="the rule file to try")
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, with every move")


def run(arguments: argparse.Namespace) -> None:
    """Try the rules and print what they would do. Raises RuleError for a file that cannot be used."""
    config = apply_runtime_settings(read_config(arguments))
    try:
        rules = load_rules(arguments.rules)
    except InputError as error:
        raise RuleError(str(error)) from error  # a missing rule file is a wrong argument, not a failed run
    with session_for("try_rules", config) as spark:
        body = try_rules(config, spark, rules)
    print(json.dumps(body, indent=2, ensure_ascii=False) if arguments.json else format_trial(body, arguments.rules))


command = Command("try_rules", __doc__, add_arguments, run)
