"""Columns and rules in words, for readers of the report."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

from blitz.config import Segmentation
from blitz.features.orders import DAYPARTS
from blitz.raw.menu import BASE_PREFIX, DRI_PREFIX, slug
from blitz.segmentation.domains import shown
from blitz.segmentation.rules import FLAG_SUFFIX, Condition, Range, Rule
from blitz.segmentation.segments import OMNICHANNEL, flag_name, short_name

_KNOWN = {
    "ownapp_order_count": "own-app orders",
    "unique_category_base_products_count": "base products",
    "unique_dri_category_count": "driver categories",
    "channel_count": "channels",
}
_PRICE = re.compile(r"order_count_with_(.+)_price_range_items")
_DAYPART = {f"{name}_order_count": name for name in DAYPARTS}
_WEEK = {"weekend_order_count": "weekends", "weekday_order_count": "weekdays"}


@dataclass(frozen=True)
class Label:
    """The label of a column. ``kind``: ``daypart``, ``week``, ``price``, ``category`` or ``count``."""

    kind: str
    name: str

    @property
    def text(self) -> str:
        """Return the label as the heading of a row."""
        if self.kind == "price":
            return f"{self.name} price"
        return self.name[:1].upper() + self.name[1:]

    def phrase(self, has: bool) -> str:
        """Return in words that a customer has it, or not."""
        if self.kind in ("daypart", "week"):
            what = self.name.lower() if self.kind == "week" else f"{self.name.lower()} orders"
            return f"orders on {what}" if has and self.kind == "week" else f"{'has' if has else 'no'} {_orders(what)}"
        if self.kind == "price":
            return f"{'buys' if has else 'buys no'} {self.name}-price items"
        return f"{'has' if has else 'has no'} {self.name}"


def _orders(what: str) -> str:
    return what if what.endswith("orders") else f"orders on {what}"


def label_of(column: str, categories: Mapping[str, str]) -> Label:
    """Return the label of a loaded column; ``categories`` are names by order column (``category_names``)."""
    name = column.removeprefix(OMNICHANNEL)
    if name in _KNOWN:
        return Label("count", _KNOWN[name])
    if name in _DAYPART:
        return Label("daypart", _DAYPART[name])
    if name in _WEEK:
        return Label("week", _WEEK[name])
    price = _PRICE.fullmatch(name)
    if price:
        return Label("price", _spaced(price[1]))
    stem = name.removesuffix("_count")
    for prefix in (BASE_PREFIX, DRI_PREFIX):
        if stem.startswith(prefix):
            return Label("category", categories.get(stem, _spaced(stem.removeprefix(prefix))))
    return Label("count", _spaced(stem))


def category_names(menu: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the category names of each category column, from a manifest's ``menu``."""
    found: dict[str, list[str]] = {}
    for prefix, kind in ((BASE_PREFIX, "base"), (DRI_PREFIX, "dri")):
        for name in menu.get(kind, ()):
            found.setdefault(prefix + slug(name), []).append(name)
    return {column: " / ".join(names) for column, names in found.items()}


def _spaced(name: str) -> str:
    return name.replace("_", " ").strip()


def rule_labels(body: Segmentation, categories: Mapping[str, str]) -> dict[str, Label]:
    """Return the label of each column name that rules can use, after flags and ``rename_dict``."""
    flags = set(body.convert_to_flag)
    return {
        short_name(flag_name(column) if column in flags else column, body.rename_dict): label_of(column, categories)
        for column in dict.fromkeys([*body.cols_to_keep, *body.convert_to_flag])
    }


def rule_words(rule: Rule, labels: Mapping[str, Label]) -> list[str]:
    """Return a phrase per condition of a rule; none for a rule without conditions."""
    return [_condition_words(each, labels.get(each.column)) for each in rule.conditions]


def _condition_words(condition: Condition, label: Label | None) -> str:
    if label is None:
        return condition.in_words()
    if condition.column.endswith(FLAG_SUFFIX) and condition.met_by(1) != condition.met_by(0):
        return label.phrase(condition.met_by(1))
    if condition.equals is not None:
        return f"{shown(condition.equals)} {label.name}"
    if not condition.column.endswith("_count"):
        return condition.in_words()
    return range_words(condition, label.name)


def range_words(ends: Range, noun: str) -> str:
    """Return an integer range in words, e.g. ``at most 2 channels``, ``9 to 11 base products``."""
    low = None if ends.greater_than is None else floor(ends.greater_than) + 1
    high = None if ends.at_most is None else floor(ends.at_most)
    if low is None:
        return "any number of " + noun if high is None else f"at most {_number(high, noun)}"
    if high is None:
        return f"{low} or more {noun}"
    return _number(low, noun) if low == high else f"{low} to {high} {noun}"


def _number(value: int, noun: str) -> str:
    if value != 1:
        return f"{value} {noun}"
    return f"1 {noun[:-3]}y" if noun.endswith("ies") else f"1 {noun.removesuffix('s')}"
