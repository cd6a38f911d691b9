"""The sample's orders and lines as arrays: who, when, where, what. Nothing of any file format."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blitz_sample.menu import PREMIUM, Menu, Stores, meal_parts
from blitz_sample.people import BOTH, WEEKDAY, People

DAY = np.timedelta64(86_400, "s")
YEAR_START = np.datetime64("2024-07-01", "s")  # a Monday, the users' cutoff
OLD_START = np.datetime64("2023-04-03", "s")  # a Monday
_HOURS = ((6, 11), (11, 15), (15, 19), (19, 24), (0, 6))
NOBODY = -1


@dataclass
class Orders:
    """One channel: per order the customer's place (NOBODY: not in the mapping), local time, store's place."""

    customer: NDArray[Any]
    local: NDArray[Any]
    store: NDArray[Any]

    def __len__(self) -> int:
        return len(self.customer)


@dataclass
class Lines:
    """Per line the order's place, the item's place, pieces, whether promo, whether customised."""

    order: NDArray[Any]
    item: NDArray[Any]
    quantity: NDArray[Any]
    promo: NDArray[Any]
    customized: NDArray[Any]


def make_orders(rng: np.random.Generator, people: People, stores: Stores, count: int, channel: str) -> Orders:
    """Orders of a channel: ordinary customers by their rate, archetypes as planned, and some of nobody's."""
    if channel == "ownapp":
        weight, planned = people.rate, people.planned
    else:
        member = people.in_store if channel == "instore" else people.on_swiggy
        weight = people.rate * member
        planned = np.where(member & (people.planned > 0), 3, 0)
    certain = np.repeat(np.arange(len(people)), planned)[:count]
    others = rng.choice(len(people), count - len(certain), p=weight / weight.sum())
    customer = np.concatenate([certain, others])
    recent = np.concatenate([np.ones(len(certain), dtype=bool), rng.random(len(others)) < 0.6])
    local = _times(rng, people, customer, recent)
    customer = np.where(~_is(certain, count) & (rng.random(count) < 0.02), NOBODY, customer)
    store = rng.integers(0, len(stores.mds) - 2, count)
    strange = (rng.random(count) < 0.01) & ~_is(certain, count)
    store[strange] = len(stores.mds) - rng.integers(1, 3, strange.sum())
    order = rng.permutation(count)
    return Orders(customer[order], local[order], store[order])


def skew(orders: Orders, by_one: int) -> None:
    """Put every other order into the first store, and give ``by_one`` of the others to the first customer."""
    orders.store[::2] = 0
    orders.customer[1 : 2 * by_one : 2] = 0


def _is(certain: NDArray[Any], count: int) -> NDArray[Any]:
    return np.arange(count) < len(certain)


def _times(rng: np.random.Generator, people: People, customer: NDArray[Any], recent: NDArray[Any]) -> NDArray[Any]:
    """Local times that keep each customer's part of the week and dayparts."""
    count = len(customer)
    week = people.week[customer]
    weekday, weekend = rng.integers(0, 5, count), rng.integers(5, 7, count)
    either = np.where(rng.random(count) < 0.65, weekday, weekend)
    day = np.where(week == BOTH, either, np.where(week == WEEKDAY, weekday, weekend))
    start = np.where(recent, YEAR_START, OLD_START)
    weeks = np.where(recent, rng.integers(0, 52, count), rng.integers(0, 64, count))
    # A random daypart among the customer's own: the greatest of five random numbers, where the mask allows it.
    chance = rng.random((count, 5))
    chance[(people.dayparts[customer][:, None] >> np.arange(5) & 1) == 0] = -1
    part = chance.argmax(axis=1)
    first, end = np.array(_HOURS).T[:, part] if count else np.zeros((2, 0))
    seconds = (first * 3600 + rng.random(count) * (end - first) * 3600).astype("timedelta64[s]")
    times: NDArray[np.datetime64] = start + (weeks * 7 + day) * DAY + seconds
    return times


def make_lines(rng: np.random.Generator, people: People, menu: Menu, orders: Orders) -> Lines:
    """One to six lines an order from the customer's favourites, parts of meals, promo items and odd ones."""
    count = len(orders)
    customer = np.where(orders.customer == NOBODY, 0, orders.customer)
    order = np.repeat(np.arange(count), 1 + np.minimum(rng.poisson(1.3, count), 5))
    who = customer[order]
    favourite = people.favourites[who, (rng.random(len(order)) * people.variety[who]).astype(int)].astype(int)
    tier = rng.choice([0, 1, 3], len(order), p=[0.4, 0.5, 0.1])
    tier[(rng.random(len(order)) < 0.35) & people.likes_premium[who]] = PREMIUM
    item = favourite * 4 + tier
    odd = rng.random(len(order))
    item = np.where(odd < 0.02, rng.choice(menu.excluded, len(order)), item)
    item = np.where(odd > 0.985, rng.choice(menu.odd, len(order)), item)
    headers, parts = meal_parts()
    meals = np.unique(order[np.isin(item, headers)])
    meals = meals[rng.random(len(meals)) < 0.7]
    extra_order = np.concatenate([order, *[meals] * len(parts)])
    extra_item = np.concatenate([item, *[np.full(len(meals), part) for part in parts]])
    quantity = np.where(rng.random(len(extra_order)) < 0.85, 1, rng.integers(2, 4, len(extra_order)))
    quantity[len(order) :] = np.where(rng.random(len(meals) * len(parts)) < 0.97, 1, 2)
    return Lines(
        order=extra_order,
        item=extra_item,
        quantity=quantity,
        promo=rng.random(len(extra_order)) < 0.03,
        customized=rng.random(len(extra_order)) < 0.1,
    )


def edge_times() -> NDArray[Any]:
    """Local times on both sides of every edge: window, cutoff, midnight, dayparts."""
    edges = ["2023-04-01T00:00:00", "2025-07-01T00:00:00", "2024-07-01T00:00:00", "2025-03-01T00:00:00"]
    edges += [f"2025-03-{day:02}T{hour:02}:00:00" for day in (7, 8, 9, 10) for hour in (0, 6, 11, 15, 19)]
    exact = np.array(edges, dtype="datetime64[s]")
    return np.concatenate([exact - np.timedelta64(1, "s"), exact, exact + np.timedelta64(1, "s")])
