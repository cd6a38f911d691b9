"""Write segment lists as CSV for activation tools: a folder per segment or per plan, safe to open in a spreadsheet."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package stands beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz.cli.main import config_arguments, guarded, read_config, use
from blitz.export import KINDS, MOST_ROWS, Exported, export
from blitz.spark.session import open_session
from blitz.text import table


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="export", description=__doc__, allow_abbrev=False)
    config_arguments(parser)
    parser.add_argument("--by", choices=KINDS, default="segment", help="a list per segment (default) or per plan")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder or s3:// prefix; its lists are replaced")
    parser.add_argument(
        "--max-rows", type=positive, default=MOST_ROWS, metavar="N", help=f"most rows of a file (default {MOST_ROWS:,})"
    )
    arguments = parser.parse_args(argv)
    return guarded("export", lambda: run(arguments))


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def run(arguments: argparse.Namespace) -> None:
    """Export and print what was written."""
    config = use(read_config(arguments))
    session = open_session("blitz export", config.spark, config.run.s3_endpoint)
    try:
        done = export(config, session.spark, arguments.by, arguments.out, arguments.max_rows)
    finally:
        session.stop()
    print(told(done, arguments.by))


def told(done: Exported, kind: str) -> str:
    """The lists with their rows and folders, and what was changed or left out."""
    rows = [(name, count, done.folders[name]) for name, count in done.rows.items()]
    lines = [table((f"Lists by {kind}", "Customers", "Folder"), rows), ""]
    if done.unlisted:
        lines.append(f"In no list, without a {kind}: {done.unlisted:,}")
    lines.append(f"Cells that were changed to be safe: {done.made_safe:,}")
    lines.append(f"Written: {done.path}, {sum(done.rows.values()):,} rows in {done.files:,} files")
    return "\n".join(lines)


if __name__ == "__main__":
    code = main()
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
