"""Prove that a rule set gives every customer exactly one segment, or show a cell where it does not.

Exit code 0: proven; 1: not proven, with a counterexample; 2: the rule file or the config is not valid.
"""

import argparse
from collections.abc import Sequence

from blitz.cli.arguments import add_config_arguments, apply_runtime_settings, has_config, read_config
from blitz.cli.command import Command
from blitz.config import validate_segments
from blitz.errors import BlitzError, InputError, RuleError
from blitz.segmentation.proof import MOST_CELLS, BandProof, prove
from blitz.segmentation.rules import About, Rule, RuleSet, load_rules, rules_hash, segment_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    text = "rule file; by default the config's rules, or the built-in ones"
    parser.add_argument("rules", nargs="?", metavar="RULES.json", help=text)
    add_config_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the proof. Raises RuleError for a file that cannot be read, BlitzError where the rules are not proven."""
    config = apply_runtime_settings(read_config(arguments)) if has_config(arguments) else None
    path = arguments.rules or (config.segmentation.rules_path if config else None)
    try:
        rules = load_rules(path)
    except InputError as error:
        raise RuleError(str(error)) from error  # a missing rule file is a wrong argument, not a failed run
    proof = prove(rules)
    print(f"Rules: {path or 'built in'}, sha256 {rules_hash(rules)}\n")
    print(format_proof(rules, proof.bands))
    if not proof.holds:
        listed = "\n".join(f"  - {problem}" for problem in proof.problems)
        raise BlitzError(f"{path or 'the built-in rules'}: NOT PROVEN:\n{listed}")
    print(f"\nProven: {proof.summary()}")
    if config is not None:
        validate_segments(config, segment_names(rules))
        print("The segments that the config names in micro_plan and cap_segments exist in these rules.")


def format_proof(rules: RuleSet, proofs: Sequence[BandProof]) -> str:
    """Return per band how many cells match one rule, none or several, as text.

    Below a band are its rules, each with its cells and what it says for readers.
    """
    lines = [f"{'band':<16}{'rules':>6}{'cells':>10}{'one rule':>10}{'gaps':>8}{'overlaps':>10}"]
    for band, proof in zip(rules.bands, proofs, strict=True):
        head = f"{band.name:<16}{len(band.rules):>6}{proof.cells:>10,}"
        if proof.cells > MOST_CELLS:
            lines.append(f"{head}  too many cells")
            continue
        lines.append(f"{head}{sum(proof.per_segment.values()):>10,}{proof.gaps:>8,}{proof.overlaps:>10,}")
        lines += [line for rule in band.rules for line in _rule_lines(rule, proof.per_segment[rule.segment])]
    return "\n".join(lines)


def _rule_lines(rule: Rule, cells: int) -> list[str]:
    """A rule with its cells, and below it what it says for readers."""
    about = About(rule.name, rule.description, rule.action, rule.owner).in_words()
    return [f"  {rule.segment:<14}{cells:>16,}  {rule.in_words()}", *([f"{'':<34}{about}"] if about else [])]


command = Command("prove_rules", __doc__, add_arguments, run)
