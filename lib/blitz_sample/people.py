"""The sample's customers: who orders how often, when, what and where."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blitz_sample.menu import CATEGORIES

BREAKFAST, LUNCH, EVENING, DINNER, LATE = (1 << at for at in range(5))
ANY = 31
WEEKDAY, WEEKEND, BOTH = 0, 1, 2

# One archetype per rule segment: own-app orders in the last year, categories that they order, part of the week,
# dayparts, whether they like premium items, whether they order in the stores too.
ARCHETYPES = {
    "Seg1_5_1": (3, 2, WEEKDAY, ANY, False, False),
    "Seg1_5_2": (3, 2, WEEKEND, ANY, False, False),
    "Seg1_5_3": (5, 2, BOTH, ANY, False, False),
    "Seg1_5_4": (4, 8, WEEKEND, ANY, True, False),
    "Seg1_5_5": (4, 8, WEEKDAY, ANY, True, False),
    "Seg1_5_6": (4, 8, BOTH, ANY, True, True),
    "Seg1_5_7": (4, 8, WEEKDAY, ANY, False, True),
    "Seg1_5_8": (4, 8, WEEKEND, ANY, False, True),
    "Seg_6_15_01": (9, 5, WEEKDAY, ANY, False, False),
    "Seg_6_15_02": (9, 5, WEEKEND, ANY ^ LUNCH, False, False),
    "Seg_6_15_03": (9, 5, WEEKEND, LUNCH, False, False),
    "Seg_6_15_04": (10, 14, BOTH, ANY ^ LUNCH, False, False),
    "Seg_6_15_05": (10, 14, BOTH, LUNCH | DINNER, False, False),
    "Seg_6_15_06": (12, 14, BOTH, LUNCH | LATE, False, False),
    "Seg_6_15_07": (10, 14, BOTH, DINNER | EVENING, True, False),
    "Seg_6_15_08": (10, 14, BOTH, LUNCH, True, False),
    "Seg_6_15_09": (10, 14, BOTH, LUNCH | DINNER, True, True),
    "Seg_6_15_10": (10, 14, BOTH, LUNCH | LATE, True, True),
    "Seg15_plus_1": (20, 7, BOTH, LUNCH | DINNER, False, False),
    "Seg15_plus_2": (20, 7, BOTH, LATE | DINNER, True, False),
    "Seg15_plus_3": (24, 10, BOTH, LATE | EVENING, True, False),
    "Seg15_plus_4": (20, 7, BOTH, LATE | EVENING, False, True),
    "Seg15_plus_5": (20, 7, BOTH, BREAKFAST | LUNCH, False, False),
    "Seg15_plus_6": (24, 14, BOTH, LUNCH | DINNER, True, False),
    "Seg15_plus_7": (30, 24, BOTH, LUNCH | DINNER, True, True),
    "Seg15_plus_8": (24, 18, BOTH, LATE | DINNER, True, True),
    "Seg15_plus_9": (24, 18, BOTH, ANY, True, True),
}


@dataclass(frozen=True)
class People:
    """Customers by place. ``planned`` own-app orders in the last year are certain for archetypes, else 0."""

    codes: NDArray[Any]
    rate: NDArray[Any]
    planned: NDArray[Any]
    week: NDArray[Any]
    dayparts: NDArray[Any]
    likes_premium: NDArray[Any]
    in_store: NDArray[Any]
    on_swiggy: NDArray[Any]
    favourites: NDArray[Any]
    variety: NDArray[Any]

    def __len__(self) -> int:
        return len(self.codes)


def build_people(rng: np.random.Generator, orders: int) -> People:
    """About one customer per ten own-app orders, and archetypes so that no segment is empty."""
    ordinary = max(20, int(orders * 0.055))
    each = 1 if orders < 10_000 else min(40, max(4, orders // 8_000))
    planned = np.repeat(np.array([spec[0] for spec in ARCHETYPES.values()]), each)
    special = len(planned)
    count = ordinary + special

    def habit(place: int, random: NDArray[Any]) -> NDArray[Any]:
        """Ordinary customers' habits, then the archetypes'."""
        fixed = np.repeat(np.array([spec[place] for spec in ARCHETYPES.values()]), each)
        return np.concatenate([random, fixed.astype(random.dtype)])

    rate = np.concatenate([rng.gamma(0.7, 1.0, ordinary) + 0.05, np.zeros(special)])
    masks = np.array([LUNCH, DINNER, LUNCH | DINNER, BREAKFAST | LUNCH, EVENING | DINNER | LATE, DINNER | LATE, ANY])
    premium = rng.random(ordinary) < 0.45
    numbers = rng.permutation(count * 3)[:count]
    codes = np.array([f"{number:010d}" for number in numbers], dtype=object)
    return People(
        codes=codes,
        rate=rate,
        planned=np.concatenate([np.zeros(ordinary, dtype=int), planned]),
        week=habit(2, rng.choice([WEEKDAY, WEEKEND, BOTH], ordinary, p=[0.2, 0.15, 0.65])),
        dayparts=habit(3, rng.choice(masks, ordinary)),
        likes_premium=habit(4, premium),
        in_store=habit(5, rng.random(ordinary) < 0.4),
        on_swiggy=np.concatenate([rng.random(ordinary) < 0.35, np.zeros(special, dtype=bool)]),
        favourites=np.argsort(rng.random((count, len(CATEGORIES))), axis=1).astype(np.int8),
        variety=habit(1, rng.integers(1, 25, ordinary)),
    )
