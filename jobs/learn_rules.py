"""Learn rules that tell a column of the customer features apart: a decision tree per band, proven and checked."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package stands beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz import storage
from blitz.cli.main import config_arguments, guarded, read_config, use
from blitz.config import Config, validate_segments
from blitz.errors import ConfigError
from blitz.segmentation.rules import prove, rules_hash, segment_names
from blitz.spark.session import open_session
from blitz.training.rules import Learned, LearningOptions, learn


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="learn_rules", description=__doc__, allow_abbrev=False)
    config_arguments(parser)
    what = "column of the customer features; a text is classified, a number regressed"
    parser.add_argument("--target", required=True, metavar="COLUMN", help=what)
    parser.add_argument("--max-rows", type=at_least(1), default=200_000, metavar="N", help="most rows, bands together")
    parser.add_argument("--min-leaf", type=at_least(1), default=100, metavar="N", help="fewest rows of a rule")
    parser.add_argument("--max-leaves", type=at_least(2), default=10, metavar="N", help="most rules of a band")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds and inputs give equal rules (default 0)")
    parser.add_argument("--out", required=True, metavar="RULES.json", help="rule file, for segmentation.rules_path")
    arguments = parser.parse_args(argv)
    return guarded("learn_rules", lambda: run(arguments))


def at_least(least: int):  # type: ignore[no-untyped-def]
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return int(text)

    return number


def run(arguments: argparse.Namespace) -> None:
    """Learn, prove, check, write."""
    config = use(read_config(arguments))
    how = LearningOptions(arguments.max_rows, arguments.min_leaf, arguments.max_leaves, arguments.seed)
    session = open_session("blitz learn_rules", config.spark, config.run.s3_endpoint)
    try:
        learned = learn(config, session.spark, arguments.target, how)
        storage.write_bytes(arguments.out, learned.as_json())
    finally:
        session.stop()
    print(told(learned, arguments.target))
    print(f"\nProven: {prove(learned.rules).summary()}")
    print(f"Rules: {arguments.out}, sha256 {rules_hash(learned.rules)}")
    warn_of_plan(config, learned)


def told(learned: Learned, target: str) -> str:
    """Per band what it was learned from, then its rules."""
    lines = []
    for band, done in zip(learned.rules.bands, learned.bands, strict=True):
        lines.append(
            f"{band.name}: {done.rows:,} customers, {done.sampled:,} sampled, {done.left_out:,} left out for a null; "
            f"tree and Spark agree on {done.checked:,} rows and {done.at_cuts:,} at cut points"
        )
        for rule, leaf in zip(band.rules, done.leaves, strict=True):
            lines.append(f"  {leaf.segment:<22}{leaf.rows:>8,}  {target} {leaf.target:<14}  {rule.in_words()}")
    return "\n".join(lines)


def warn_of_plan(config: Config, learned: Learned) -> None:
    """Say what must change in the config before the pipeline takes these rules."""
    try:
        validate_segments(config, segment_names(learned.rules))
    except ConfigError as error:
        print(f"\nTo use them, change the plan to the new segments as well: {len(error.problems)} places name others")


if __name__ == "__main__":
    code = main()
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
