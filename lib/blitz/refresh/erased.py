"""The customer mapping as a refresh keeps it, without the ids of erased customers (docs/contract.md, section 12)."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from blitz.raw.customer_mapping import MAPPING
from blitz.raw.erased_rows import raw_with_ids
from blitz.raw.specs import REASON
from blitz.raw.suppression import IS_ERASED, Suppression

_KEYS = ("delivery_key", "store_key")


def without_ids(rows: DataFrame, others: DataFrame, suppression: Suppression) -> DataFrame:
    """The typed rows of the mapping (``MappingRows``) without ids of erased customers; as many rows as before.

    The row of an erased customer has an empty id. It keeps the key of an order that is theirs, so that no other
    customer gets the order, and loses the key of an order that is a customer's with a smaller id. Raw values that
    contain an id are left out.

    Args:
        rows: the rows with ``is_erased`` and ids. They are read several times.
        others: rows of the mapping that were kept before, without ids of erased customers.
        suppression: the erased customers.
    """
    erased = rows.where(IS_ERASED)
    named = rows.unionByName(others).where(~F.col(IS_ERASED) & F.col(REASON).isNull())
    for key in _KEYS:
        smallest = named.join(erased.select(key).distinct(), key, "left_semi").groupBy(key)
        other = smallest.agg(F.min("customer").alias("_other"))
        is_theirs = F.col("_other").isNull() | (F.col("customer") < F.col("_other"))
        columns = [F.when(is_theirs, F.col(key)).alias(key) if name == key else name for name in rows.columns]
        erased = erased.join(other, key, "left").select(*columns)
    bare = erased.withColumn("customer", F.lit("")).withColumn("raw", F.lit(None).cast("string"))
    return _without_raw_ids(rows.where(~F.col(IS_ERASED)), suppression).unionByName(bare)


def _without_raw_ids(rows: DataFrame, suppression: Suppression) -> DataFrame:
    """The rows, their raw values null where they contain an id."""
    raw = rows.where(F.col("raw").isNotNull()).select(F.lit(MAPPING).alias("table"), "raw")
    with_ids = raw_with_ids(raw, suppression).select(F.col("raw").alias("_raw_with_id"))
    joined = rows.join(with_ids, F.col("raw") == F.col("_raw_with_id"), "left")
    cleared = F.when(F.col("_raw_with_id").isNull(), F.col("raw")).alias("raw")
    return joined.select(*[cleared if name == "raw" else name for name in rows.columns])
