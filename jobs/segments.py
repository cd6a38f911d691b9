"""Rule segments from the customer features."""

import sys
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package stands beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz.cli.main import main

if __name__ == "__main__":
    code = main("segments", __doc__, ["segments"])
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
