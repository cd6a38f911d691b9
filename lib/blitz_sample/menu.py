"""The sample's menu, choices and stores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Base category, driver category. The slugs are those of the users' columns.
CATEGORIES = (
    ("BFast Muffin", "Breakfast"),
    ("BIC", "Desserts"),
    ("Chicken Wrap", "Wraps"),
    ("Coffee", "Hot Drinks"),
    ("Coke", "Cold Drinks"),
    ("Corn and Cheese Burger", "Veg Burgers"),
    ("Crispy Veggie Burger", "Veg Burgers"),
    ("Dessert", "Desserts"),
    ("Filet-O-Fish", "Fish and Egg"),
    ("Fries", "Sides"),
    ("Grilled Chicken and Cheese Burger", "Chicken Burgers"),
    ("Maharaja Mac Chicken Burger", "Chicken Burgers"),
    ("Maharaja Mac Veg Burger", "Veg Burgers"),
    ("McAloo Tikki", "Veg Burgers"),
    ("McCafe Food", "Cafe Food"),
    ("McChicken Burger", "Chicken Burgers"),
    ("McChicken Surprise", "Chicken Burgers"),
    ("McCrispy Chicken Burger", "Chicken Burgers"),
    ("McEgg", "Fish and Egg"),
    ("McSpicy Chicken Burger", "Chicken Burgers"),
    ("McSpicy Paneer Burger", "Veg Burgers"),
    ("McVeggie", "Veg Burgers"),
    ("Nuggets", "Sides"),
    ("Other Beverage", "Cold Drinks"),
    ("Other Chicken Burger", "Chicken Burgers"),
    ("Other Veg Burger", "Veg Burgers"),
    ("Pizza McPuff", "Sides"),
    ("Veg Wrap", "Wraps"),
)
TIERS = ("small", "regular", "premium", "sharing")  # the price tiers of every category; only premium is 250 to 325
PREMIUM = 2
_TIER_PRICES = ((20, 99), (100, 249), (250, 324), (325, 700))
_FIRST_ITEM = 50_001
_CITIES = ("Mumbai", "Pune", "Bengaluru", "Hyderabad", "Chennai", "Nagpur", "Surat", "Kochi")
_TYPES = ("Mall", "High Street", "Drive Thru", "Airport", "Food Court ")


@dataclass(frozen=True)
class Menu:
    """Items by place: category place * 4 + tier, then excluded, null-base, unmapped and without a driver category."""

    item_ids: NDArray[Any]
    codes: NDArray[Any]
    names: NDArray[Any]
    prices: NDArray[Any]
    is_veg: NDArray[Any]
    excluded: NDArray[Any]
    odd: NDArray[Any]
    categories: pd.DataFrame
    choices: pd.DataFrame


def build_menu(rng: np.random.Generator) -> Menu:
    """The menu, its category file and its choice file."""
    count = len(CATEGORIES) * len(TIERS)
    prices = np.array([rng.integers(low, high) for _ in CATEGORIES for low, high in _TIER_PRICES], dtype=float)
    prices[:4] = (35, 175, 250, 325)  # on the edges of price buckets
    names = [f"{base} {tier}" for base, _ in CATEGORIES for tier in TIERS]
    names += [
        "Paper Bag",
        "Delivery Fee",
        "Gift Card",
        "Sauce Dip",
        "Masala Sachet",
        "Trial Item",
        "Old Item",
        "New Item",
    ]
    prices = np.concatenate([prices, [5, 30, 500, 15, 10, 80, 120, 99]])
    ids = _FIRST_ITEM + np.arange(len(names))
    # Two neighbouring tiers share a product code: several item ids per code.
    codes = np.array([f"PC{7000 + at // 2}" for at in range(len(names))], dtype=object)
    rows: list[tuple[object, ...]] = [
        (ids[at], codes[at], CATEGORIES[at // 4][0], CATEGORIES[at // 4][1]) for at in range(count)
    ]
    rows += [(ids[count + at], codes[count + at], "Exclude", "Other") for at in range(2)]
    rows += [
        (ids[count + 2], codes[count + 2], "Exclude", "Other"),
        (ids[count + 3], codes[count + 3], "Exclude", None),
    ]
    rows += [(ids[count + 4], codes[count + 4], None, "Sides"), (ids[count + 5], codes[count + 5], "Fries", None)]
    categories = pd.DataFrame(
        rows, columns=["item_id_id", "ProductCode", "Clubbed base product category", "Final Dri Category"]
    )
    categories = pd.concat([categories, categories.iloc[:9]], ignore_index=True)  # repeated rows
    categories["Clubbed base product category"] = categories["Clubbed base product category"].map(
        lambda name: f" {name} " if name == "Coke" else name
    )
    categories["item_id_id"] = categories["item_id_id"].map(
        lambda number: f"{number}.0" if number % 5 == 0 else str(number)
    )
    categories.insert(0, "menu_note", "sample")
    drinks, fries = _place("Coke") * 4, _place("Fries") * 4
    headers = [_place(name) * 4 + 1 for name in ("McVeggie", "McChicken Burger", "McAloo Tikki")]
    choices = pd.DataFrame(
        [(ids[h], ids[c], codes[h], codes[c], 1) for h in headers for c in (drinks, fries)],
        columns=["header_item_id_id", "choice_item_id_id", "HeaderItemId", "ChoiceItemId", "Qty"],
    )
    is_veg = np.array([not any(w in n for w in ("Chicken", "Fish", "Egg", "Nuggets")) for n in names])
    return Menu(
        item_ids=ids,
        codes=codes,
        names=np.array(names, dtype=object),
        prices=prices,
        is_veg=is_veg,
        excluded=np.arange(count, count + 4),
        odd=np.arange(count + 4, len(names)),
        categories=categories,
        choices=choices,
    )


def _place(category: str) -> int:
    return [name for name, _ in CATEGORIES].index(category)


def meal_parts() -> tuple[list[int], list[int]]:
    """Places of the header items, and of the choice items that come with them."""
    headers = [_place(name) * 4 + 1 for name in ("McVeggie", "McChicken Burger", "McAloo Tikki")]
    return headers, [_place("Coke") * 4, _place("Fries") * 4]


@dataclass(frozen=True)
class Stores:
    """Stores by place: MDS id, store code, name; the last MDS id and the last code are in no file."""

    mds: NDArray[Any]
    codes: NDArray[Any]
    names: NDArray[Any]
    store_codes: pd.DataFrame
    master: pd.DataFrame


def build_stores(rng: np.random.Generator, count: int = 60) -> Stores:
    """The stores and their two files; 9993 is the test store."""
    mds = 100 + np.arange(count)
    codes = np.array([str(7000 + at) for at in range(count)], dtype=object)
    codes[-2] = "9993"
    names = np.array(
        [f"{_CITIES[at % len(_CITIES)]} {_TYPES[at % 5].strip()} {at}" for at in range(count)], dtype=object
    )
    known = np.arange(count - 1)
    link = pd.DataFrame({"MDS ID": mds[known], "DSR Code": [f"{codes[at]}.0" if at % 3 else codes[at] for at in known]})
    master = pd.DataFrame(
        {
            "Store Code": codes[known],
            "Store Name": [f"{names[at]} " for at in known],
            "Store Type": [_TYPES[at % 5] for at in known],
            "Geographical City": [_CITIES[at % len(_CITIES)] for at in known],
            "Key City": ["Y" if at % 3 == 0 else "N" for at in known],
            "Generator New": rng.choice(["Office", "Residential", "Transit"], len(known)),
        }
    )
    return Stores(mds, codes, names, pd.concat([link, link.iloc[:3]]), pd.concat([master, master.iloc[:3]]))
