"""Prove that a rule set gives every customer exactly one segment, or show the cell where it does not.

Exit code 0: proven; 1: not, with the counterexample; 2: the file or the config cannot be used.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package stands beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz import storage
from blitz.cli.main import config_arguments, guarded, read_config
from blitz.config import validate_segments
from blitz.errors import BlitzError, InputError, RuleError
from blitz.segmentation.rules import (
    MOST_CELLS,
    Band,
    BandProof,
    RuleSet,
    _axis,
    load_rules,
    prove,
    rules_hash,
    segment_names,
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="prove_rules",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rules", nargs="?", metavar="RULES.json", help="the rule file; by default the config's")
    config_arguments(parser)
    arguments = parser.parse_args(argv)
    return guarded("prove_rules", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Print the proof. Raises RuleError for an unreadable file, BlitzError where the rules are not proven."""
    path, config = arguments.rules, None
    if arguments.conf or arguments.feature_pipeline_config or arguments.segmentation_config:
        config = read_config(arguments)
        storage.configure(endpoint=config.run.s3_endpoint, region=config.run.s3_region)
        path = path or config.segmentation.rules_path
    try:
        rules = load_rules(path)
    except InputError as error:
        raise RuleError(str(error)) from error  # a rule file that is not there is a wrong argument, not a failed run
    proof = prove(rules)
    print(f"Rules: {path or 'built in'}, sha256 {rules_hash(rules)}\n")
    print(table(rules, proof.bands))
    if not proof.holds:
        listed = "\n".join(f"  - {problem}" for problem in proof.problems)
        raise BlitzError(f"{path or 'the built-in rules'}: NOT PROVEN:\n{listed}")
    print(f"\nProven: {proof.summary()}")
    if config is not None:
        validate_segments(config, segment_names(rules))
        print("The config's plan and cap_segments name segments of these rules.")


def table(rules: RuleSet, proofs: Sequence[BandProof]) -> str:
    """Per band the cells, how many match one rule, none, or several; below it the rules with their cells."""
    lines = [f"{'band':<16}{'rules':>6}{'cells':>10}{'one rule':>10}{'gaps':>8}{'overlaps':>10}"]
    for band, proof in zip(rules.bands, proofs, strict=True):
        head = f"{band.name:<16}{len(band.rules):>6}{proof.cells:>10,}"
        if proof.cells > MOST_CELLS:
            lines.append(f"{head}  too many cells")
            continue
        once = sum(proof.per_segment.values())
        gaps = count_gaps(band) if once < proof.cells else 0
        lines.append(f"{head}{once:>10,}{gaps:>8,}{proof.cells - once - gaps:>10,}")
        lines += [
            f"  {rule.segment:<14}{proof.per_segment[rule.segment]:>16,}  {rule.in_words()}" for rule in band.rules
        ]
    return "\n".join(lines)


def count_gaps(band: Band) -> int:
    """The cells of a band that match no rule."""
    axes = {column: [value for _, value in _axis(band, column)] for column in band.columns}
    cells = (dict(zip(axes, cell, strict=True)) for cell in product(*axes.values()))
    return sum(all(rule.failed(values) for rule in band.rules) for values in cells)


if __name__ == "__main__":
    code = main()
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
