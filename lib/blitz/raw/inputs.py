"""The raw tables of a config, found and checked before any job starts (contract: inputs)."""

from collections.abc import Iterable
from dataclasses import dataclass

from blitz.config import FeaturePipeline
from blitz.raw.channels import CHANNELS
from blitz.raw.files import RawTable, resolve
from blitz.raw.mappings import Mappings, load_mappings
from blitz.raw.specs import CATEGORIES, CHOICES, CUSTOMER_MAPPING, ORDER_QUERIES, STORE_CODES, STORES, TableSpec


@dataclass(frozen=True)
class RawInputs:
    """The raw tables of some channels, and the mapping files that all channels share."""

    orders: dict[str, RawTable]
    lines: dict[str, RawTable]
    queries: dict[str, RawTable]
    customer_mapping: RawTable
    store_codes: RawTable
    stores: RawTable
    categories: RawTable
    choices: RawTable

    def mappings(self) -> Mappings:
        """The small mappings, read now."""
        return load_mappings(self.store_codes, self.stores, self.categories, self.choices)


def raw_inputs(config: FeaturePipeline, channels: Iterable[str]) -> RawInputs:
    """Find the files of the channels and of the mappings and check their columns.

    Raises InputError listing every missing path, column and wrong type at once.
    """
    wanted: dict[tuple[str, str], tuple[TableSpec, str]] = {}
    for name in channels:
        channel = CHANNELS[name]
        if name == "instore":
            wanted["orders", name] = (channel.orders, config.instore.orders_file_pattern)
            wanted["lines", name] = (channel.lines, config.instore.order_items_file_pattern)
            continue
        paths = config.ownapp if name == "ownapp" else config.swiggy
        wanted["orders", name] = (channel.orders, paths.orders_data_path)
        wanted["lines", name] = (channel.lines, paths.order_items_data_path)
        if paths.has_query:
            wanted["queries", name] = (ORDER_QUERIES, paths.orderqueries_path)
    common = config.common
    shared = {
        "customer_mapping": (CUSTOMER_MAPPING, common.mapping_file),
        "store_codes": (STORE_CODES, common.store_mds_dsr_path),
        "stores": (STORES, common.store_master_path),
        "categories": (CATEGORIES, common.categories_path),
        "choices": (CHOICES, common.clear_master_path),
    }
    tables = resolve([*wanted.values(), *shared.values()])
    found = dict(zip(wanted, tables, strict=False))
    per_kind = {
        kind: {name: table for (each, name), table in found.items() if each == kind}
        for kind in ("orders", "lines", "queries")
    }
    mappings = dict(zip(shared, tables[len(wanted) :], strict=True))
    return RawInputs(per_kind["orders"], per_kind["lines"], per_kind["queries"], **mappings)


def menu_inputs(config: FeaturePipeline) -> Mappings:
    """The small mappings alone, for a customer job of its own."""
    return raw_inputs(config, ()).mappings()
