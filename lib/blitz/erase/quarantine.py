"""Quarantines without the rejected rows of erased customers (docs/contract.md, section 12)."""

from functools import partial

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from blitz import storage
from blitz.config import Config
from blitz.erase.catalogs import expire_versions
from blitz.erase.places import Place
from blitz.erase.request import Request
from blitz.errors import InputError
from blitz.features.order_customers import erased_keys, keyed_customers, mapping_rows
from blitz.publish.tables import publish, read_output
from blitz.raw import typed_rows as sources
from blitz.raw.channels import Channel, channel_of
from blitz.raw.erased_rows import ErasedOrders
from blitz.raw.inputs import raw_inputs, read_options
from blitz.spark.staging import Staging


class Quarantines:
    """The quarantines, and what connects their rows with erased customers: their ids, and the keys of their orders.

    Args:
        config: names the raw customer mapping.
        spark: the session.
        request: the customers.
        staging: gets the customer mapping.
    """

    def __init__(self, config: Config, spark: SparkSession, request: Request, staging: Staging) -> None:
        self._config, self._spark, self._request, self._staging = config, spark, request, staging
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the raw customer mapping could not be read, so that rows were connected by the ids in them alone."""
        return self._problem

    def without(self, place: Place) -> tuple[DataFrame, DataFrame]:
        """All rows of a quarantine, and those that are not the customers'."""
        assert place.channel is not None
        body = self._config.feature_pipeline
        channel = channel_of(place.channel, body.common.business_day_minutes)
        rows = read_output(self._spark, place.path)
        options, timezone = read_options(body, place.channel), body.common.timezone
        keys = partial(self._keys, channel)
        erased = ErasedOrders(channel, options, timezone, self._request.suppression, keys)
        return rows, erased.without(rows)

    def erase(self, place: Place, run_id: str, *, dry_run: bool) -> tuple[int, int, int]:
        """Publish a quarantine without the customers' rows; returns its files, its rows, and how many were theirs.

        ``dry_run``: only count them.
        """
        rows, others = self.without(place)
        files = 0 if storage.is_table(place.path) else len(storage.list_files(place.path))
        total, left = rows.count(), others.count()
        if left < total and not dry_run:
            publish(others, place.path, run_id=run_id)
        if storage.is_table(place.path) and not dry_run:
            expire_versions(self._spark, place.path)
        return files, total, total - left

    def _keys(self, channel: Channel, stems: DataFrame) -> DataFrame:
        """``order_key`` of the customers' orders with these stems by the raw customer mapping; none where it cannot be
        read."""
        try:
            mapping = self._staging.shared("mapping", self._mapping, cached=True)
        except InputError as error:
            self._problem = str(error)
            kind = "bigint" if len(channel.key_columns) == 1 else "string"
            return self._spark.createDataFrame([], f"order_key {kind}")
        customers = pd.DataFrame({"algonomy_id": sorted(self._request.customers)})
        ids = self._spark.createDataFrame(customers, "algonomy_id string")
        return erased_keys(keyed_customers(mapping, channel), ids, stems, channel)

    def _mapping(self) -> DataFrame:
        body = self._config.feature_pipeline
        inputs = raw_inputs(body, (), allow_repeated_files=True, spark=self._spark)
        return mapping_rows(sources.read_table(self._spark, inputs.customer_mapping, body.common.timezone))
