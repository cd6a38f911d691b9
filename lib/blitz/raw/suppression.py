"""Customers whose orders are left out: salted SHA-256 hashes of their ids (docs/contract.md, section 12)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from blitz.spark.secret import with_secret

IS_ERASED = "is_erased"
_SALT, _HASH = "_salt", "_suppressed_hash"


@dataclass(frozen=True)
class Suppression:
    """The hashes of the erased customers' ids, in hex, and the salt that they were made with.

    An id is hashed as the order features know it: as code text (docs/contract.md, section 9).
    """

    hashes: frozenset[str] = frozenset()
    salt: str = field(default="", repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether no customer is erased."""
        return not self.hashes

    @property
    def digest(self) -> str:
        """One hash over the list: equal for equal lists; empty for an empty one."""
        return "" if self.is_empty else hashlib.sha256("\n".join(sorted(self.hashes)).encode()).hexdigest()

    def flag(self, rows: DataFrame, customer: str = "customer") -> DataFrame:
        """The rows with ``is_erased``: whether the id in the column ``customer`` is that of an erased customer.

        Every row is hashed; ``among`` costs less where rows are many and customers few.
        """
        if self.is_empty:
            return rows.withColumn(IS_ERASED, F.lit(False))
        salted, hashed = self._salted(rows, F.col(customer))
        # The list is on the left: Sail makes the hash table of a join from the left side, whatever its size.
        found = F.broadcast(self._table(rows)).join(salted, hashed == F.col(_HASH), "right")
        return found.select(*rows.columns, F.col(_HASH).isNotNull().alias(IS_ERASED))

    def among(self, rows: DataFrame, customer: str) -> DataFrame:
        """``algonomy_id`` of the erased customers in a column, found now.

        Every id is hashed once. The frame has its few rows with it, and no plan shows them.
        """
        ids = rows.select(F.col(customer).alias("algonomy_id")).distinct()
        found = self.matching(ids, "algonomy_id").toPandas()
        return rows.sparkSession.createDataFrame(found, "algonomy_id string")

    def matching(self, rows: DataFrame, customer: str) -> DataFrame:
        """The rows with the id of an erased customer in the column ``customer``."""
        salted, hashed = self._salted(rows, F.col(customer))
        return F.broadcast(self._table(rows)).join(salted, hashed == F.col(_HASH)).select(*rows.columns)

    def _salted(self, rows: DataFrame, customer: Column) -> tuple[DataFrame, Column]:
        """The rows with the salt, and the hash of a customer."""
        return with_secret(rows, _SALT, self.salt), F.sha2(F.concat(F.col(_SALT), customer), 256)

    def _table(self, rows: DataFrame) -> DataFrame:
        hashes = pd.DataFrame({_HASH: sorted(self.hashes)})
        return rows.sparkSession.createDataFrame(hashes, f"{_HASH} string")


NOBODY = Suppression()


def hash_of(customer: str, salt: str) -> str:
    """The hash of an id in hex: SHA-256 of the salt followed by the id, both UTF-8."""
    return hashlib.sha256((salt + customer).encode()).hexdigest()


def hashes_of(customers: Sequence[str], salt: str) -> frozenset[str]:
    """The hashes of ids."""
    return frozenset(hash_of(customer, salt) for customer in customers)
