"""The sample's models: one ``{kmeans, scaler, features}`` payload per plan, trained on the sample's own customers."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from blitz.raw.menu import slug
from blitz.segmentation.rules import default_rules, segment_names
from blitz_sample.menu import CATEGORIES, Menu
from blitz_sample.orders import NOBODY, YEAR_START, Lines, Orders
from blitz_sample.people import People

DAYPARTS = ("Late Night", "Breakfast", "Lunch", "Evening", "Dinner")
_DAYPART_HOURS = (0, 6, 11, 15, 19)
_PRICES = (0, 35, 100, 175, 250, 325, 400, 600, 100_000)
_LABELS = ("Add_ons", "Economy", "Value", "Mid_Tier", "Premium", "Indulgence", "Ultimate", "Group")
_LONG_NAMES = {"grilled_chicken_and_cheese_burger": "grilled_chicken_n_cheese_burger"}

# Model file: its segments, how many clusters, how many of the features it reads.
PLANS = {
    "1_5_1_2": (("Seg1_5_1", "Seg1_5_2"), 4, 12),
    "1_5_3": (("Seg1_5_3",), 4, 10),
    "1_5_5": (("Seg1_5_5",), 5, 20),
    "1_5_6": (("Seg1_5_6",), 5, 47),
    "6_15_02": (("Seg_6_15_02",), 4, 16),
    "6_15_03": (("Seg_6_15_03",), 4, 14),
    "6_15_08": (("Seg_6_15_08",), 5, 25),
    "6_15_10": (("Seg_6_15_10",), 4, 40),
    "15_plus_1": (("Seg15_plus_1",), 4, 12),
    "15_plus_8": (("Seg15_plus_8",), 5, 30),
    "15_plus_9": (("Seg15_plus_9",), 6, 47),
}


def write_models(people: People, menu: Menu, made: dict[str, tuple[Orders, Lines]], folder: Path, seed: int) -> None:
    """Train and write the payloads of all plans under the users' file names."""
    counts = customer_counts(people, menu, made)
    segment = _segments(counts)
    folder.mkdir(parents=True, exist_ok=True)
    order = [c for c in counts if c not in ("channel_count", "unique_category_base_products_count")]
    features = [*order[:14], "unique_category_base_products_count", "channel_count", *order[14:]]
    for name, (segments, clusters, size) in PLANS.items():
        members = counts.loc[segment.isin(segments), features[:size]]
        if len(members) < clusters:  # a sample too small for this plan: whoever comes near
            members = counts[features[:size]].head(max(50, clusters))
        scaler = StandardScaler().fit(members)
        scaler.scale_ = np.where(scaler.scale_ == 0, 1.0, scaler.scale_)
        kmeans = KMeans(clusters, n_init=3, random_state=seed).fit(scaler.transform(members))
        body = {"kmeans": kmeans, "scaler": scaler, "features": features[:size]}
        (folder / f"kmeans_segmentation_{name}.pkl").write_bytes(pickle.dumps(body, protocol=4))


def customer_counts(people: People, menu: Menu, made: dict[str, tuple[Orders, Lines]]) -> pd.DataFrame:
    """Roughly the customer features of the last year, under the names that models know: good enough to train on."""
    number = len(people)
    columns: dict[str, NDArray[Any]] = {}
    totals: dict[str, list[NDArray[Any]]] = {}

    def add(name: str, customers: NDArray[Any]) -> None:
        totals.setdefault(name, []).append(np.bincount(customers, minlength=number))

    seen, channels = np.zeros((number, len(CATEGORIES)), dtype=bool), np.zeros(number, dtype=int)
    for channel, (orders, lines) in made.items():
        counted = (orders.customer != NOBODY) & (orders.local >= YEAR_START)
        customer = orders.customer
        if channel == "ownapp":
            columns["ownapp_order_count"] = np.bincount(customer[counted], minlength=number)
        channels += np.bincount(customer[counted], minlength=number) > 0
        hour = (orders.local - orders.local.astype("datetime64[D]")).astype("timedelta64[h]").astype(int)
        part = np.searchsorted(_DAYPART_HOURS, hour, side="right") - 1
        for at in (1, 2, 3, 4, 0):
            add(f"{DAYPARTS[at]}_order_count", customer[counted & (part == at)])
        weekend = ((orders.local.astype("datetime64[D]").astype(int) + 3) % 7) >= 5
        add("weekend_order_count", customer[counted & weekend])
        add("weekday_order_count", customer[counted & ~weekend])
        kept = counted[lines.order] & ~lines.promo & (lines.item < len(CATEGORIES) * 4)
        order, item = lines.order[kept], lines.item[kept]
        bucket = np.searchsorted(_PRICES, menu.prices[item], side="right") - 1
        for at, label in enumerate(_LABELS):
            add(f"order_count_with_{label}_price_range_items", customer[np.unique(order[bucket == at])])
        pairs = np.unique(order * len(CATEGORIES) + item // 4)
        for at, (base, _) in enumerate(CATEGORIES):
            buyers = customer[pairs[pairs % len(CATEGORIES) == at] // len(CATEGORIES)]
            seen[buyers, at] = True
            add(f"base_{_LONG_NAMES.get(slug(base), slug(base))}_count", buyers)
    columns |= {name: np.sum(parts, axis=0) for name, parts in totals.items()}
    columns["unique_category_base_products_count"], columns["channel_count"] = seen.sum(axis=1), channels
    return pd.DataFrame(columns).loc[columns["ownapp_order_count"] > 0].astype(float)


def _segments(counts: pd.DataFrame) -> pd.Series:
    """The rule segment of every customer, by the rule table itself."""
    names = {"unique_cat_base_count": "unique_category_base_products_count", "channel_count": "channel_count"}
    flags = {"Weekend": "weekend", "Weekday": "weekday", "Late_Night": "Late Night"}
    values = {column: counts[source] for column, source in names.items()}
    for daypart in ("Weekend", "Weekday", "Breakfast", "Lunch", "Evening", "Late_Night"):
        values[f"{daypart}_flag"] = (counts[f"{flags.get(daypart, daypart)}_order_count"] > 0).astype(float)
    values["Premium_price_flag"] = (counts["order_count_with_Premium_price_range_items"] > 0).astype(float)
    rules = default_rules()
    found = pd.Series("", index=counts.index)
    for band in rules.bands:
        inside = counts["ownapp_order_count"].map(band.holds)
        for rule in band.rules:
            matches = inside.copy()
            for condition in rule.conditions:
                matches &= values[condition.column].map(condition.holds)
            found[matches] = rule.segment
    assert set(found) <= set(segment_names(rules))
    return found
