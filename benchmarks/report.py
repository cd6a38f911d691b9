"""What stands in RESULTS.md: the machine and versions of a measurement, and its section, written by the run itself."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from measure import machine_memory

CHECKOUT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "RESULTS.md"
LIBRARIES = ("pyspark", "pandas", "numpy", "pyarrow", "scikit-learn", "duckdb")


def circumstances() -> str:
    """Date, machine, code and versions of a measurement, in one paragraph."""
    commit = _output("git", "-C", str(CHECKOUT), "describe", "--always", "--dirty=, changed", "--exclude=*")
    java = re.search(r'"([^"]+)"', _output("java", "-version"))
    found = [f"Python {platform.python_version()}", f"Java {java[1] if java else 'unknown'}"]
    found += [f"{name} {version(name)}" for name in LIBRARIES]
    machine = f"{os.cpu_count()} cores ({_processor()}), {machine_memory() / 2**30:.0f} GiB, {platform.system()}"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine}; commit {commit}; {', '.join(found)}."


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns but the first stand to the right."""
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(3, *(len(row[at]) for row in cells)) for at in range(len(head))]
    rule = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
    lines = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in [cells[0], rule, *cells[1:]]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put(section: str, text: str, path: Path = RESULTS) -> None:
    """Write a section between its own two marks, in place of what stood there; at the end where it is new."""
    first, last = f"<!-- {section}: written by the run -->", f"<!-- end of {section} -->"
    body = path.read_text() if path.exists() else "# Measurements\n"
    block = f"{first}\n{text.strip()}\n{last}"
    if first in body:
        before, rest = body.split(first, 1)
        body = before + block + rest.split(last, 1)[1]
    else:
        body = f"{body.rstrip()}\n\n{block}\n"
    path.write_text(body)


def gib(size: float) -> str:
    """Bytes as GiB."""
    return f"{size / 2**30:.1f} GiB"
