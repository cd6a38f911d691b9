"""The money of a comparison as rows of tables and as text."""

from typing import Any

from blitz.drift.money import ALL_SEGMENTS
from blitz.features.spend import ALL_CHANNELS
from blitz.text import JsonObject, table

MAX_MOVES = 10
_PARTS = ("by_customers", "by_orders_per_customer", "by_value_per_order")
_HEADER = ("Before", "After", "Change", "Customers", "Orders each", "Value each")


def money_rows(money: JsonObject) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the tables ``money`` and ``money_moves``; none where the spend is unknown."""
    if money["unknown"]:
        return {}
    keys = ("from", "to", "customers", "before", "after", "change")
    return {
        "money": [
            (
                each["segment"],
                each["channel"],
                *[each[side][kind] for kind in ("customers", "orders", "spend") for side in ("before", "after")],
                each["change"],
                *[each[part] for part in _PARTS],
            )
            for each in money["segments"]
        ],
        "money_moves": [tuple(each[key] for key in keys) for each in money["moves"]],
    }


def format_money(money: JsonObject) -> list[str]:
    """The change of spend per segment and per channel, and of those who entered, left, stayed and moved, as text."""
    if money["unknown"]:
        return ["Spend is unknown:\n" + "\n".join(f"  {reason}" for reason in money["unknown"])]
    segments = [each for each in money["segments"] if each["channel"] == ALL_CHANNELS]
    channels = [each for each in money["segments"] if each["segment"] == ALL_SEGMENTS]
    groups = [
        (name, each["customers"], each["before"], each["after"], each["change"])
        for name, each in money["groups"].items()
    ]
    largest = sorted(
        (each for each in money["moves"] if each["from"] != each["to"]), key=lambda each: -abs(each["change"])
    )[:MAX_MOVES]
    moves = [
        (f"{each['from'] or '(entered)'} to {each['to'] or '(left)'}", each["customers"], each["before"], each["after"],
         each["change"])
        for each in largest
    ]  # fmt: skip
    return [
        f"Spend, and its change split by {money['method']}",
        table(("Spend of segment", *_HEADER), [(each["segment"], *_cells(each)) for each in segments]),
        table(("Spend in channel", *_HEADER), [(each["channel"], *_cells(each)) for each in channels]),
        table(("Customers who", "Customers", "Spent before", "After", "Change"), groups),
        table(("Largest moves of spend", "Customers", "Spent before", "After", "Change"), moves) if moves else "",
    ]


def _cells(each: JsonObject) -> tuple[float, ...]:
    return (each["before"]["spend"], each["after"]["spend"], each["change"], *[each[part] for part in _PARTS])
