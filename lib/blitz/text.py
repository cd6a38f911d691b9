"""Text tables for terminals, and the type of JSON objects."""

from collections.abc import Sequence
from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return the rows as aligned text: text columns to the left, numeric ones to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[at]) for line in [list(header), *cells]) for at in range(len(header))]
    numeric = [all(not isinstance(row[at], str) for row in rows) for at in range(len(header))]

    def line(values: Sequence[str]) -> str:
        padded = [v.rjust(w) if n else v.ljust(w) for v, w, n in zip(values, widths, numeric, strict=True)]
        return ("  " + "  ".join(padded)).rstrip()

    return "\n".join([line(header), *map(line, cells)])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
