"""The menu: the categories that a kept line can have, their columns and bits."""

import re
from dataclasses import dataclass

EXCLUDED_CATEGORY = "Exclude"
BITS = 62  # categories held by one long of a line's category mask
DRI_PREFIX = "dri_categ_"
BASE_PREFIX = "categ_base_product_"


def slug(name: str) -> str:
    """The column-name form of a category: runs of non-word characters as ``_``, none at the ends, lower case."""
    return re.sub(r"\W+", "_", name).strip("_").lower()


def mask_name(at: int) -> str:
    """The column of a category mask."""
    return f"mask_{at}"


def mask_names(masks: int) -> list[str]:
    """The columns of all category masks."""
    return [mask_name(at) for at in range(masks)]


@dataclass(frozen=True)
class Category:
    """One category name of the menu: its kind ("dri" or "base"), its column, its bit in the category masks."""

    kind: str
    name: str
    bit: int

    @property
    def column(self) -> str:
        """The name of its 0/1 column in the order features."""
        return (DRI_PREFIX if self.kind == "dri" else BASE_PREFIX) + slug(self.name)


@dataclass(frozen=True)
class Menu:
    """All categories that a kept line can have, driver categories first, each kind sorted by name."""

    categories: tuple[Category, ...]

    @property
    def masks(self) -> int:
        """How many longs a category mask takes."""
        return max(1, -(-len(self.categories) // BITS))

    def of_kind(self, kind: str) -> list[Category]:
        """The categories of one kind, sorted by name."""
        return [category for category in self.categories if category.kind == kind]

    def columns(self, kind: str) -> list[str]:
        """The category columns of one kind, each once."""
        return list(dict.fromkeys(category.column for category in self.of_kind(kind)))
