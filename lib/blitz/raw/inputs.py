"""The raw tables of a config, found and checked before any job starts (docs/contract.md, sections 2 and 9)."""

from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.sql import SparkSession

from blitz.config import FeaturePipeline
from blitz.config.models import InstoreChannel
from blitz.errors import InputError
from blitz.raw.channels import CHANNELS
from blitz.raw.files import Source, attempt, raise_if_any
from blitz.raw.mappings import Mappings, load_mappings, read_all
from blitz.raw.specs import CATEGORIES, CHOICES, CUSTOMER_MAPPING, ORDER_QUERIES, STORE_CODES, STORES
from blitz.raw.suppression import NOBODY, Suppression
from blitz.raw.suppression_list import read_suppression
from blitz.raw.tables import RawTable, ReadOptions

_SMALL = ("store_codes", "stores", "categories", "choices")


@dataclass(frozen=True)
class RawInputs:
    """The raw tables of some channels, and the mapping files that all channels share; the small ones are read.

    ``suppression``: the customers whose orders are left out.
    """

    orders: dict[str, RawTable]
    lines: dict[str, RawTable]
    queries: dict[str, RawTable]
    customer_mapping: RawTable
    store_codes: RawTable
    stores: RawTable
    categories: RawTable
    choices: RawTable
    small: Mappings | None
    suppression: Suppression = NOBODY

    @property
    def first_channel(self) -> str:
        """The channel whose step accounts for the customer mapping, which all channels read."""
        return next(iter(self.orders))

    def large_tables(self) -> list[RawTable]:
        """The tables of the channels and the customer mapping, which the engine reads."""
        return [*self.orders.values(), *self.lines.values(), *self.queries.values(), self.customer_mapping]

    def mappings(self) -> Mappings:
        """The small mappings, as they were when the files were found. Not for inputs with ``unchecked`` tables."""
        assert self.small is not None
        return self.small

    def unchecked(self) -> list[RawTable]:
        """The tables of a catalog that no session has looked at: those of a dry run."""
        channels = (table for kind in (self.orders, self.lines, self.queries) for table in kind.values())
        shared = (self.customer_mapping, self.store_codes, self.stores, self.categories, self.choices)
        return [table for table in (*channels, *shared) if table.is_unchecked]


def raw_inputs(
    config: FeaturePipeline,
    channels: Iterable[str],
    allow_repeated_files: bool = False,
    suppression_path: str | None = None,
    spark: SparkSession | None = None,
) -> RawInputs:
    """Find the files and tables of the channels and of the mappings, check their columns, read the small mappings and
    the suppression list.

    ``spark`` looks up and reads tables of a catalog; without it they stay unchecked. Raises InputError listing every
    missing path, column, wrong type, damaged and repeated file at once.
    """
    channels = list(channels)
    wanted = {(kind, name): source for name in channels for kind, source in _of_channel(config, name).items()}
    shared = _shared(config)
    tables, problems = attempt([*wanted.values(), *shared.values()], allow_repeated_files, spark)
    found = dict(zip(wanted, tables, strict=False))
    per_kind = {
        kind: {name: table for (each, name), table in found.items() if each == kind}
        for kind in ("orders", "lines", "queries")
    }
    mappings = dict(zip(shared, tables[len(wanted) :], strict=True))
    small, suppression = _read_small(mappings, problems, spark), _read_suppression(suppression_path, problems)
    raise_if_any(problems)
    orders, lines, queries = per_kind["orders"], per_kind["lines"], per_kind["queries"]
    return RawInputs(orders, lines, queries, **mappings, small=small, suppression=suppression)


def raw_paths(config: FeaturePipeline, channels: Iterable[str]) -> list[str]:
    """The configured paths and tables that ``raw_inputs`` of these channels reads."""
    of_channels = [source.path for name in channels for source in _of_channel(config, name).values()]
    return [*of_channels, *(source.path for source in _shared(config).values())]


def _read_small(mappings: dict[str, RawTable], problems: list[str], spark: SparkSession | None) -> Mappings | None:
    """The small mappings; None where one of them was not found. What is wrong in them goes to ``problems``."""
    store_codes, stores, categories, choices = tables = [mappings[name] for name in _SMALL]
    found = [table for table in tables if table.groups]
    try:
        if len(found) == len(tables):
            return load_mappings(store_codes, stores, categories, choices, spark)
        read_all(found, spark)  # to say what is wrong in those that are there
        return None
    except InputError as error:
        problems += str(error).splitlines()
        return None


def _read_suppression(path: str | None, problems: list[str]) -> Suppression:
    try:
        return read_suppression(path)
    except InputError as error:
        problems.append(str(error))
        return NOBODY


def _of_channel(config: FeaturePipeline, name: str) -> dict[str, Source]:
    """The raw tables of a channel by kind: orders, lines and, where it has them, queries."""
    section, channel, options = config.channel(name), CHANNELS[name], read_options(config, name)
    found = {
        "orders": Source(channel.orders, section.orders_path, options),
        "lines": Source(channel.lines, section.lines_path, options),
    }
    return found | ({"queries": Source(ORDER_QUERIES, section.queries_path)} if section.queries_path else {})


def read_options(config: FeaturePipeline, name: str) -> ReadOptions:
    """How the orders and lines of a channel are written."""
    section = config.channel(name)
    if not isinstance(section, InstoreChannel):
        return ReadOptions()
    return ReadOptions(section.time_format, f"{name}.time_format", section.multi_line)


def _shared(config: FeaturePipeline) -> dict[str, Source]:
    common = config.common
    key, multi_line = "common.mapping_date_format", config.instore.multi_line
    options = ReadOptions(common.mapping_date_format, key, multi_line, common.business_day_minutes)
    return {
        "customer_mapping": Source(CUSTOMER_MAPPING, common.mapping_file, options),
        "store_codes": Source(STORE_CODES, common.store_mds_dsr_path, is_small=True),
        "stores": Source(STORES, common.store_master_path, is_small=True),
        "categories": Source(CATEGORIES, common.categories_path, is_small=True),
        "choices": Source(CHOICES, common.clear_master_path, is_small=True),
    }


def menu_inputs(config: FeaturePipeline, spark: SparkSession) -> Mappings:
    """The small mappings alone, for a customer job of its own. Raises InputError as ``raw_inputs`` does."""
    return raw_inputs(config, (), allow_repeated_files=True, spark=spark).mappings()  # no rows of large files are read
