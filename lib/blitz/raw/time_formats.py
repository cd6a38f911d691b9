"""Spark patterns of times that are not ISO (``instore.time_format``, ``common.mapping_date_format``)."""

import re

_PADDED = re.compile(r"(?<![A-Za-z])(dd|MM|HH|hh)(?![A-Za-z])")


def lenient(pattern: str) -> str:
    """The pattern with days, months and hours of one digit or two: ``dd/MM/yyyy`` also reads 8/1/2025.

    Fields that touch another one (``ddMMyyyy``) keep their width.
    """
    parts = re.split(r"('[^']*')", pattern)
    return "".join(part if part.startswith("'") else _PADDED.sub(lambda found: found[1][0], part) for part in parts)


def may_be_iso(pattern: str) -> bool:
    """Whether ISO times are read where the pattern does not match: not where it begins with the year as they do."""
    return not pattern.lstrip("'").startswith(("y", "u"))
