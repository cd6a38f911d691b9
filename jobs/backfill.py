"""The run as of several dates, the raw files read once; each date's outputs are those of a run of its own."""

import sys
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package stands beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz.cli.backfill import main

if __name__ == "__main__":
    code = main()
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
