"""The items without a driver category that have the most lines.

The published outputs have no items, so the item columns of the raw lines are read, once, and only if the files are
small or the user asks for it.
"""

from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.config import FeaturePipeline
from blitz.raw.channels import CHANNELS
from blitz.raw.files import Source, resolve
from blitz.raw.inputs import menu_inputs, read_options
from blitz.raw.mappings import item_table
from blitz.raw.specs import Field, Kind, TableSpec
from blitz.raw.tables import RawTable
from blitz.raw.typed_rows import read_table

SMALL = 256 * 1024 * 1024  # bytes of raw lines that are read by default
MAX_ITEMS = 20
_ITEM_COLUMNS = {  # of the raw lines, by the channel's layout
    "delivery": TableSpec(
        "lines", (Field("item_id_id", Kind.ID), Field("item_name", Kind.TEXT), Field("promo_item", Kind.FLAG))
    ),
    "store": TableSpec("lines", (Field("ProductCode", Kind.CODE),)),
}


def unmapped_items(spark: SparkSession, config: FeaturePipeline, most_bytes: int | None = SMALL) -> dict[str, Any]:
    """``bytes`` of the raw lines, and ``rows``: per channel the MAX_ITEMS items with the most lines (no promotions)
    that have no driver category: ``channel``, ``item``, ``name``, ``lines``. ``rows`` is None above ``most_bytes``."""
    sources = [
        Source(_ITEM_COLUMNS[channel.layout], config.channel(name).lines_path, read_options(config, name))
        for name, channel in CHANNELS.items()
    ]
    # Whether a file may be there twice was decided before the run.
    tables = dict(zip(CHANNELS, resolve(sources, allow_repeated_files=True, spark=spark), strict=True))
    size = sum(info.size for table in tables.values() for info in table.files)
    has_tables = any(storage.is_table(source.path) for source in sources)  # of a catalog: nobody knows their size
    if most_bytes is not None and (size > most_bytes or has_tables):
        return {"bytes": size, "rows": None}
    mappings = menu_inputs(config, spark)
    frames = [
        _of_channel(spark, name, table, item_table(spark, mappings, CHANNELS[name]), config.common.timezone)
        for name, table in tables.items()
    ]
    rows = [row.asDict() for row in reduce(DataFrame.unionByName, frames).collect()]
    return {"bytes": size, "rows": sorted(rows, key=lambda row: (-row["lines"], row["channel"], row["item"] or ""))}


def _of_channel(spark: SparkSession, name: str, table: RawTable, items: DataFrame, timezone: str) -> DataFrame:
    channel = CHANNELS[name]
    lines = read_table(spark, table, timezone)
    promo = F.coalesce(F.col("promo_item"), F.lit(False)) if channel.has_flags else F.lit(False)
    plain = lines.where(~promo).select(
        F.col(channel.item).alias("item"),
        (F.col("item_name") if channel.has_flags else F.lit(None).cast("string")).alias("name"),
    )
    mapped = items.where(F.col("is_excluded").isNotNull())
    unmapped = plain.join(F.broadcast(mapped), "item", "left_anti")
    counted = unmapped.groupBy("item").agg(F.max("name").alias("name"), F.count(F.lit(1)).alias("lines"))
    most = counted.orderBy(F.col("lines").desc(), "item").limit(MAX_ITEMS)
    return most.select(F.lit(name).alias("channel"), F.col("item").cast("string"), "name", "lines")
