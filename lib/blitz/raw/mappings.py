"""The small mapping files (stores, categories, choices), read on the driver and made unambiguous (contract: inputs).

They hold thousands of rows, not millions: every later step gets them as one broadcast table with one row per key.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from blitz.errors import InputError
from blitz.raw.channels import Channel
from blitz.raw.menu import BITS, EXCLUDED_CATEGORY, Category, Menu, mask_names
from blitz.raw.small_files import read_small
from blitz.raw.tables import RawTable


@dataclass(frozen=True)
class Mappings:
    """The small mappings with one row per key; ``conflicts`` counts the keys that the files map in several ways."""

    stores: pd.DataFrame
    store_codes: pd.DataFrame
    categories: pd.DataFrame
    choices: pd.DataFrame
    menu: Menu
    conflicts: dict[str, int]


def load_mappings(
    store_codes: RawTable,
    stores: RawTable,
    categories: RawTable,
    choices: RawTable,
    spark: SparkSession | None = None,
) -> Mappings:
    """Read the four small mappings and resolve repeated and conflicting keys, the same way every run.

    ``spark`` reads those that are tables of a catalog. Raises InputError listing what is wrong with any of the files.
    """
    code_rows, store_rows, category_rows, choice_rows = read_all((store_codes, stores, categories, choices), spark)
    codes, code_conflicts = _first_per_key(code_rows, "MDS ID")
    per_store, store_conflicts = _first_per_key(store_rows, "Store Code")
    conflicts = {
        "store_codes": code_conflicts,
        "stores": store_conflicts,
        "categories": sum(_first_per_key(_categories_by(category_rows, key), key)[1] for key in _CATEGORY_KEYS),
    }
    return Mappings(per_store, codes, category_rows, choice_rows, _menu(category_rows), conflicts)


def read_all(tables: Iterable[RawTable], spark: SparkSession | None = None) -> list[pd.DataFrame]:
    """The rows of small mappings, see ``read_small``. Raises InputError listing what is wrong with any of them."""
    frames, problems = [], []
    for table in tables:
        try:
            frames.append(read_small(table, spark))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return frames


_CATEGORY_KEYS = ("item_id_id", "ProductCode")
_DRI = "Final Dri Category"
_BASE = "Clubbed base product category"


def _categories_by(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    return rows[[key, _DRI, _BASE]]


def _first_per_key(rows: pd.DataFrame, key: str) -> tuple[pd.DataFrame, int]:
    """The smallest row of every key (nulls last, columns in order), and how many keys had several."""
    distinct = rows[rows[key].notna()].drop_duplicates()
    values = [column for column in rows.columns if column != key]
    ordered = distinct.sort_values([key, *values], na_position="last", kind="stable")
    conflicting = int((ordered.groupby(key).size() > 1).sum())
    return ordered.drop_duplicates(key).reset_index(drop=True), conflicting


def _menu(rows: pd.DataFrame) -> Menu:
    """The categories that survive the line filters: a driver category, and a base category that is not excluded."""
    kept = rows[rows[_DRI].notna() & (rows[_BASE] != EXCLUDED_CATEGORY)]
    names = [("dri", name) for name in sorted(kept[_DRI].unique())]
    names += [("base", name) for name in sorted(kept[_BASE].dropna().unique())]
    return Menu(tuple(Category(kind, name, bit) for bit, (kind, name) in enumerate(names)))


def item_table(spark: SparkSession, mappings: Mappings, channel: Channel) -> DataFrame:
    """One row per item code of the channel in the category file or the choice file.

    Returns ``item``; ``is_excluded``, null for an item without a driver category, whose lines are unmapped; its
    category bits ``mask_0``, ``mask_1`` …; ``choice_number``, null for an item that no header allows as a choice. For a
    header, else null: ``choices``, the numbers of the items that it allows; ``allowed``, how many pieces of each;
    ``places``, the whole numbers from 0 to their count.
    """
    masks, grants = _masks(mappings, channel), _grants(mappings, channel)
    numbers = {item: at for at, item in enumerate(sorted({item for grant in grants.values() for item in grant}))}
    table = []
    for item in sorted({*masks, *grants, *numbers}):
        is_excluded, *bits = masks.get(item, (None, *[0] * mappings.menu.masks))
        grant = grants.get(item)
        choices = [numbers[choice] for choice in grant] if grant else None
        allowed = list(grant.values()) if grant else None
        places = list(range(len(grant) + 1)) if grant else None
        table.append((item, is_excluded, *bits, numbers.get(item), choices, allowed, places))
    types = {"item": "string", "is_excluded": "boolean"} | dict.fromkeys(mask_names(mappings.menu.masks), "bigint")
    types |= {"choice_number": "int", "choices": "array<int>", "allowed": "array<double>", "places": "array<int>"}
    rows = _local_table(spark, table, types)
    return rows if channel.codes_are_text else rows.withColumn("item", rows["item"].cast("bigint"))


def _masks(mappings: Mappings, channel: Channel) -> dict[str, tuple[int | bool, ...]]:
    """Per item with a driver category: whether it is excluded, and its category bits."""
    rows, _ = _first_per_key(_categories_by(mappings.categories, channel.item), channel.item)
    rows = rows[rows[_DRI].notna()]
    bits = {(category.kind, category.name): category.bit for category in mappings.menu.categories}
    found = {}
    for code, dri, base in rows.itertuples(index=False):
        masks = [0] * mappings.menu.masks
        for bit in (bits.get(("dri", dri)), bits.get(("base", base))):
            if bit is not None:
                masks[bit // BITS] |= 1 << (bit % BITS)
        found[code] = (base == EXCLUDED_CATEGORY, *masks)
    return found


def _grants(mappings: Mappings, channel: Channel) -> dict[str, dict[str, float]]:
    """Per header the items that it allows as its choices, and how many pieces of each."""
    rows = mappings.choices[[channel.header, channel.choice, "Qty"]].dropna()
    rows = rows.assign(Qty=pd.to_numeric(rows["Qty"], errors="coerce")).dropna()
    most = rows.groupby([channel.header, channel.choice])["Qty"].max().reset_index()
    grants: dict[str, dict[str, float]] = {}
    for header, choice, allowed in most.itertuples(index=False):
        grants.setdefault(header, {})[choice] = float(allowed)
    return grants


def store_table(spark: SparkSession, mappings: Mappings, channel: Channel) -> DataFrame:
    """One row per store of the channel: ``store`` (``store_id_id``, or ``StoreCode`` in-store) and its four columns."""
    columns = ["Store Type", "Generator New", "Geographical City", "Key City"]
    stores = mappings.stores
    if not channel.codes_are_text:
        stores = mappings.store_codes.merge(stores, left_on="DSR Code", right_on="Store Code")
    key = "Store Code" if channel.codes_are_text else "MDS ID"
    rows = [tuple(row) for row in stores[[key, *columns]].itertuples(index=False)]
    names = ["store_type", "store_generator_new", "store_geographical_city", "store_key_city"]
    table = _local_table(spark, rows, dict.fromkeys(["store", *names], "string"))
    return table if channel.codes_are_text else table.withColumn("store", table["store"].cast("bigint"))


def _local_table(spark: SparkSession, rows: list[tuple], types: dict[str, str]) -> DataFrame:  # type: ignore[type-arg]
    """The rows as part of the plan: a pandas frame goes there by Arrow (session.py), a list would be a job of its own,
    with Python in its tasks. ``types``: the columns' Spark types by name."""
    values = pd.DataFrame(rows, columns=list(types), dtype=object)
    return spark.createDataFrame(values, ", ".join(f"{name} {kind}" for name, kind in types.items()))
