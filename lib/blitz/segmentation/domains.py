"""Columns of few known values: flags, scores and lifecycles. No imports, so that features can share the names."""

FLAG_SUFFIX = "_flag"
SCORES = ("r_score", "f_score", "m_score")
HIGHEST_SCORE = 5
LIFECYCLE = "lifecycle"
LIFECYCLES = ("new", "one_time", "active", "due", "late", "lapsed")

Value = float | str  # of a column that a rule reads


def domain_of(column: str) -> tuple[Value, ...] | None:
    """All values that a column can have; None where it can have any."""
    if column.endswith(FLAG_SUFFIX):
        return (0.0, 1.0)
    if column == LIFECYCLE:
        return LIFECYCLES
    return tuple(float(score) for score in range(1, HIGHEST_SCORE + 1)) if column in SCORES else None


def shown(value: Value) -> str:
    """A value as rules and messages show it."""
    return value if isinstance(value, str) else f"{value:g}"
