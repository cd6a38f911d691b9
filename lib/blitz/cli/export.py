"""Export segment lists as CSV for activation tools: a folder per segment or plan item, safe in a spreadsheet."""

import argparse
from collections.abc import Mapping

from blitz.cli.arguments import a_path, add_config_arguments, apply_runtime_settings, at_least, read_config
from blitz.cli.command import Command
from blitz.cli.sessions import session_for
from blitz.config.values import did_you_mean
from blitz.export import KINDS, MAX_ROWS, MORE_COLUMNS, Exported, export
from blitz.segmentation.rules import about_segments, load_rules
from blitz.text import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser)
    parser.add_argument("--by", choices=KINDS, default="segment", help="a list per segment (default) or per plan item")
    parser.add_argument(
        "--out", type=a_path, required=True, metavar="DIR", help="folder or s3:// prefix; its lists are replaced"
    )
    text = f"more columns, separated by commas: {', '.join(MORE_COLUMNS)}"
    parser.add_argument("--columns", type=_columns, default=(), metavar="A,B", help=text)
    text = f"maximum rows per file (default {MAX_ROWS:,})"
    parser.add_argument("--max-rows", type=at_least(1), default=MAX_ROWS, metavar="N", help=text)


def run(arguments: argparse.Namespace) -> None:
    """Export the lists and print a summary."""
    config = apply_runtime_settings(read_config(arguments))
    with session_for("export", config) as spark:
        done = export(config, spark, arguments.by, arguments.out, arguments.max_rows, arguments.columns)
    about = about_segments(load_rules(config.segmentation.rules_path))
    names = {segment: each.name for segment, each in about.items() if each.name}
    print(format_export(done, arguments.by, names))


def _columns(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in MORE_COLUMNS:
            raise argparse.ArgumentTypeError(f"unknown column {name!r}{did_you_mean(name, MORE_COLUMNS)}")
    return names


def format_export(done: Exported, kind: str, names: Mapping[str, str]) -> str:
    """Return the lists with their sizes, folders and names, and what was escaped or left out, as text."""
    rows = [(name, count, done.folders[name], names.get(name, "-")) for name, count in done.rows.items()]
    lines = [table((f"Lists by {kind}", "Customers", "Folder", "Name"), rows), ""]
    if done.unlisted:
        lines.append(f"Customers without a {kind}, in no list: {done.unlisted:,}")
    lines.append(f"Cells escaped for spreadsheets: {done.escaped:,}")
    lines.append(f"Written: {done.path}, {sum(done.rows.values()):,} rows in {done.files:,} files")
    return "\n".join(lines)


command = Command("export", __doc__, add_arguments, run)
