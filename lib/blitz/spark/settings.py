"""Spark settings that Spark would refuse with a Java trace, or only as the JVM starts. Standard library alone."""

import re

_SIZE = re.compile(r"\d+\s*([kmgtp]?b|[kmgtp])?", re.IGNORECASE)
_MASTER = re.compile(r"local(\[[^\]]+\])?|local-cluster\[[^\]]+\]|yarn|spark://.+|k8s://.+")
_SIZES = (
    "spark.driver.memory",
    "spark.executor.memory",
    "spark.driver.memoryOverhead",
    "spark.executor.memoryOverhead",
)


def problem_of(key: str, value: str) -> str | None:
    """What is wrong with a setting, in words, or None."""
    if key == "spark.master" and not _MASTER.fullmatch(value):
        return f'must be local[*], yarn, spark://HOST:PORT or k8s://URL, not "{value}"'
    if key in _SIZES and not _SIZE.fullmatch(value):
        return f'must be a size such as 4g or 512m, not "{value}"'
    return None
