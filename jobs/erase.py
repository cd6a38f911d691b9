"""Erase customers everywhere."""

import sys
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package is in lib/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz.cli.entry_points import erase

if __name__ == "__main__":
    erase()
