"""A trial of rules as text."""

from blitz.drift.tables import MAX_ROWS, names_of, totals_table
from blitz.text import JsonObject, table


def format_trial(body: JsonObject, source: str) -> str:
    """Return what ``try_rules`` found as text; ``source`` is the rule file."""
    now = "the published segments" if body["now_from"] == "published" else "the config's rules, nothing is published"
    same = " (the rules of the config)" if body["rules"]["now"] == body["rules"]["then"] else ""
    parts = [
        f"Before: {now}\nAfter:  {source}, sha256 {body['rules']['then']}{same}",
        totals_table("Segment", body["segments"]["totals"], names_of(body)),
        _moves(body["segments"]["moved_pairs"]),
        _plans(body["plans"]),
        *[_conditions(band) for band in body["conditions"]],
    ]
    if body["problems"]:
        listed = "\n".join(f"  - {problem}" for problem in body["problems"])
        parts.append(f"A run with these rules would stop; change the config with rules_path:\n{listed}")
    return "\n\n".join(part for part in parts if part)


def _moves(pairs: list[JsonObject]) -> str:
    largest = sorted(pairs, key=lambda pair: -pair["customers"])[:MAX_ROWS]
    rows = [(pair["from"], pair["to"], pair["customers"]) for pair in largest]
    return table(("Largest moves from", "To", "Customers"), rows) if rows else "No customer would change segment."


def _plans(plans: list[JsonObject]) -> str:
    rows = [
        (
            each["plan"],
            each["now"],
            each["then"],
            each["lost"],
            each["gained"],
            each["model"],
            ", ".join(each["unknown_segments"]) or "-",
        )
        for each in plans
    ]
    header = ("Micro-segments of", "Members", "Then", "Lost", "Gained", "Model", "Segments that are gone")
    return table(header, rows) if rows else ""


def _conditions(band: JsonObject) -> str:
    rows: list[tuple[object, ...]] = []
    for rule in band["rules"]:
        rows.append((rule["segment"], None, rule["customers"], "everyone" if not rule["conditions"] else ""))
        rows += [("", each["dropped"], each["kept"], each["condition"]) for each in rule["conditions"]]
    return table((f"Band {band['band']}: {band['customers']:,} customers", "Dropped", "Kept", "By"), rows)
