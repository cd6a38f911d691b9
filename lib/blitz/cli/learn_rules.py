"""Learn segment rules that predict a column of the customer features: a proven decision tree per band."""

import argparse

from blitz import storage
from blitz.cli.arguments import a_path, add_config_arguments, apply_runtime_settings, at_least, read_config
from blitz.cli.command import Command
from blitz.cli.sessions import session_for
from blitz.config import Config, validate_segments
from blitz.errors import ConfigError
from blitz.segmentation.proof import prove
from blitz.segmentation.rules import rules_hash, segment_names
from blitz.training.rules import Learned, learn
from blitz.training.trees import LearningOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser)
    text = "column of the customer features to predict: text is classified, a number is regressed"
    parser.add_argument("--target", required=True, metavar="COLUMN", help=text)
    text = "maximum sample size over all bands (default 200,000)"
    parser.add_argument("--max-rows", type=at_least(1), default=200_000, metavar="N", help=text)
    text = "minimum rows per rule (default 100)"
    parser.add_argument("--min-leaf", type=at_least(1), default=100, metavar="N", help=text)
    text = "maximum rules per band (default 10)"
    parser.add_argument("--max-leaves", type=at_least(2), default=10, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=0, help="the same seed and inputs give the same rules (default 0)")
    text = "rule file to write, for segmentation.rules_path"
    parser.add_argument("--out", type=a_path, required=True, metavar="RULES.json", help=text)


def run(arguments: argparse.Namespace) -> None:
    """Learn, prove and check the rules, write them and print a summary."""
    config = apply_runtime_settings(read_config(arguments))
    options = LearningOptions(arguments.max_rows, arguments.min_leaf, arguments.max_leaves, arguments.seed)
    with session_for("learn_rules", config) as spark:
        learned = learn(config, spark, arguments.target, options)
        storage.write_bytes(arguments.out, learned.as_json())
    print(format_rules(learned, arguments.target))
    print(f"\nProven: {prove(learned.rules).summary()}")
    print(f"Rules: {arguments.out}, sha256 {rules_hash(learned.rules)}")
    problems = _plan_problems(config, learned)
    if problems:
        print(f"\nBefore you use them, update the config: {problems} entries name segments that these rules lack")


def format_rules(learned: Learned, target: str) -> str:
    """Return per band its sample and its rules, as text."""
    lines = []
    for band, done in zip(learned.rules.bands, learned.bands, strict=True):
        lines.append(
            f"{band.name}: {done.rows:,} customers, {done.sampled:,} sampled, {done.left_out:,} left out for a null; "
            f"tree and Spark agree on {done.checked:,} rows and {done.at_cuts:,} at cut points"
        )
        for rule, leaf in zip(band.rules, done.leaves, strict=True):
            lines.append(f"  {leaf.segment:<22}{leaf.rows:>8,}  {target} {leaf.target:<14}  {rule.in_words()}")
    return "\n".join(lines)


def _plan_problems(config: Config, learned: Learned) -> int:
    """How many entries of the config name segments that the learned rules do not have."""
    try:
        validate_segments(config, segment_names(learned.rules))
    except ConfigError as error:
        return len(error.problems)
    return 0


command = Command("learn_rules", __doc__, add_arguments, run)
