"""The customer mapping's account: which of its rows can give an order a customer (docs/contract.md, section 8)."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.accounts import KEPT, READ, Account, Reason, RowMetrics, by_reason, each_row
from blitz.raw.specs import REASON
from blitz.spark.columns import to_bigint

MAPPING = "customer mapping"
MAPPING_REASONS = (Reason.BAD_RECORD, Reason.NO_CUSTOMER_CODE, Reason.NO_KEY)


def with_mapping_reason(mapping: DataFrame) -> DataFrame:
    """The typed rows of the customer mapping (``read_table``), with why a row maps nothing in ``reject_reason``.

    A row without a customer code, and one that names neither an order's id nor invoice, store and date, are no rejected
    rows; they map nothing all the same.
    """
    reason = F.coalesce(
        F.col(REASON),
        F.when(F.col("customer_code_ty").isNull(), F.lit(Reason.NO_CUSTOMER_CODE)),
        F.when(~_names_an_order(), F.lit(Reason.NO_KEY)),
    )
    return mapping.withColumn(REASON, reason)


def observe_mapping(mapping: DataFrame, metrics: RowMetrics) -> DataFrame:
    """The rows of ``with_mapping_reason``, counted while an action computes them."""
    reason = F.col(REASON)
    counted = {READ: each_row(), KEPT: reason.isNull(), **by_reason(reason, MAPPING_REASONS)}
    return metrics.observe(mapping, {MAPPING: counted})


def mapping_account(counts: Mapping[str, int]) -> Account:
    """The account from the counts of ``observe_mapping``."""
    return Account.of(MAPPING, counts, MAPPING_REASONS)


def _names_an_order() -> Column:
    is_id = to_bigint(F.col("invoice_no")).isNotNull()
    is_bill = F.col("store_code").isNotNull() & F.col("invoice_date").isNotNull()
    return F.coalesce(F.col("invoice_no").isNotNull() & (is_id | is_bill), F.lit(False))
