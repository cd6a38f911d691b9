"""The table formats of a catalog: how each creates, overwrites and replaces a table in one commit, and its versions."""

from collections.abc import Mapping
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.catalog.names import TableName
from blitz.catalog.tables import TableState, catalog_of
from blitz.publish.base import Published
from blitz.publish.delta import COLUMN_MAPPING
from blitz.spark.columns import quoted_col


class CatalogFormat(Protocol):
    """A table format. ``target`` is a table as SQL names it; each method that writes is one commit."""

    name: str

    def create(self, df: DataFrame, target: str) -> None:
        """Create the table with the rows; fails where it exists."""

    def overwrite(self, df: DataFrame, target: str) -> None:
        """Replace the rows of a table that has the columns of ``df``."""

    def replace(self, df: DataFrame, target: str) -> None:
        """Replace the rows and the columns of a table."""

    def fits(self, before: TableState, df: DataFrame) -> bool:
        """Whether the table has the columns and types of ``df``."""

    def version(self, spark: SparkSession, target: str) -> str | None:
        """The current version or snapshot id; None where the table has none yet."""

    def changes_after(self, spark: SparkSession, target: str, version: str | None) -> list[str]:
        """The operations of commits after a version that changed rows, not those of maintenance, in order."""

    def published(self, spark: SparkSession, target: str, path: str, branch: str = "main") -> Published:
        """Rows, files, bytes and version of the last commit, which replaced all rows."""


class Iceberg:
    """Iceberg tables: a commit is a snapshot; a replacement with other columns is one as well."""

    name = "iceberg"

    def create(self, df: DataFrame, target: str) -> None:
        """Create the table as one snapshot."""
        df.writeTo(target).using(self.name).create()

    def overwrite(self, df: DataFrame, target: str) -> None:
        """Replace all rows in one snapshot."""
        df.writeTo(target).overwrite(F.lit(True))

    def replace(self, df: DataFrame, target: str) -> None:
        """Replace rows and columns in one snapshot; Iceberg's catalogs stage it, and drop nothing."""
        df.writeTo(target).using(self.name).createOrReplace()

    def fits(self, before: TableState, df: DataFrame) -> bool:
        """Whether names and types are equal; Iceberg keeps small integers as int."""
        small = {"tinyint": "int", "smallint": "int"}
        return before.types == {name: small.get(kind, kind) for name, kind in df.dtypes}

    def version(self, spark: SparkSession, target: str) -> str | None:
        """The id of the current snapshot."""
        return self._snapshot(spark, target, "main")

    def changes_after(self, spark: SparkSession, target: str, version: str | None) -> list[str]:
        """The operations of the snapshots that became current after ``version``; compactions change no rows."""
        rows = spark.sql(
            f"SELECT h.snapshot_id, s.operation FROM {target}.history h LEFT JOIN {target}.snapshots s "
            "ON h.snapshot_id = s.snapshot_id ORDER BY h.made_current_at"
        ).collect()
        places = [at for at, row in enumerate(rows, start=1) if str(row["snapshot_id"]) == version]
        later = [row["operation"] or "expired" for row in rows[max(places, default=0) :]]
        return [operation for operation in later if operation != "replace"]

    def published(self, spark: SparkSession, target: str, path: str, branch: str = "main") -> Published:
        """The totals of the summary of a branch's snapshot."""
        version = self._snapshot(spark, target, branch)
        summary = spark.sql(f"SELECT summary FROM {target}.snapshots WHERE snapshot_id = {version}").collect()[0][0]
        rows, files, size = (int(summary.get(f"total-{name}", 0)) for name in ("records", "data-files", "files-size"))
        return Published(path, rows, files, size, version)

    def has_branches(self, spark: SparkSession) -> bool:
        """Whether the session has the SQL of branches: Iceberg's extensions."""
        return "IcebergSparkSessionExtensions" in str(spark.conf.get("spark.sql.extensions", ""))

    def fast_forward(self, spark: SparkSession, name: TableName, branch: str) -> None:
        """Move main to a branch that began where main is now; fails where main has moved since."""
        catalog = catalog_of(spark, name) if name.catalog is None else name.catalog
        spark.sql(
            f"CALL `{catalog}`.system.fast_forward(table => '`{name.schema}`.`{name.table}`', "
            f"branch => 'main', to => '{branch}')"
        ).collect()

    def _snapshot(self, spark: SparkSession, target: str, branch: str) -> str | None:
        found = spark.sql(f"SELECT snapshot_id FROM {target}.refs WHERE name = '{branch}'").collect()
        return str(found[0][0]) if found else None


class Delta:
    """Delta tables: a commit is a version. ``overwrite`` never drops: a catalog's own replacement may."""

    name = "delta"
    _CHANGES = ("WRITE", "CREATE", "REPLACE", "DELETE", "UPDATE", "MERGE", "TRUNCATE", "RESTORE", "STREAMING", "CLONE")

    def create(self, df: DataFrame, target: str) -> None:
        """Create the table as its first version."""
        writer = df.writeTo(target).using(self.name)
        for key, value in COLUMN_MAPPING.items():
            writer = writer.tableProperty(key, value)
        writer.create()

    def overwrite(self, df: DataFrame, target: str) -> None:
        """Replace all rows in one version."""
        df.writeTo(target).overwrite(F.lit(True))

    def replace(self, df: DataFrame, target: str) -> None:
        """Replace rows and columns in one version."""
        df.writeTo(target).option("overwriteSchema", "true").overwrite(F.lit(True))

    def fits(self, before: TableState, df: DataFrame) -> bool:
        """Whether names and types are equal."""
        return before.types == dict(df.dtypes)

    def version(self, spark: SparkSession, target: str) -> str | None:
        """The number of the current version."""
        return str(spark.sql(f"DESCRIBE HISTORY {target} LIMIT 1").collect()[0]["version"])

    def changes_after(self, spark: SparkSession, target: str, version: str | None) -> list[str]:
        """The operations of later versions, without OPTIMIZE, VACUUM and changes of properties."""
        rows = spark.sql(f"DESCRIBE HISTORY {target}").select("version", "operation").collect()
        later = sorted((row["version"], row["operation"]) for row in rows if row["version"] > int(version or -1))
        return [operation for _, operation in later if operation.startswith(self._CHANGES)]

    def published(self, spark: SparkSession, target: str, path: str, branch: str = "main") -> Published:
        """The metrics of the last version in the table's history."""
        last = spark.sql(f"DESCRIBE HISTORY {target} LIMIT 1").collect()[0]
        metrics = last["operationMetrics"]
        rows, files, size = (int(metrics.get(name, 0)) for name in ("numOutputRows", "numFiles", "numOutputBytes"))
        return Published(path, rows, files, size, str(last["version"]))


ICEBERG, DELTA = Iceberg(), Delta()
FORMATS: Mapping[str, CatalogFormat] = {ICEBERG.name: ICEBERG, DELTA.name: DELTA}


def own_format(spark: SparkSession, name: TableName) -> str | None:
    """The format that the catalog of a table gives to new tables, where it is one of ``FORMATS``: that of its plug-in,
    or ``spark.sql.sources.default``, which is Delta on Databricks."""
    plugin = str(spark.conf.get(f"spark.sql.catalog.{catalog_of(spark, name)}", "")).lower()
    found = next((fmt for fmt in FORMATS if f".{fmt}." in plugin), None)
    default = str(spark.conf.get("spark.sql.sources.default", "")).lower()
    return found or (default if default in FORMATS else None)


def with_comments(df: DataFrame, comments: Mapping[str, str]) -> DataFrame:
    """The frame whose columns have comments, where there is one for their name."""
    columns = [
        quoted_col(name).alias(name, metadata={"comment": comments[name]}) if name in comments else quoted_col(name)
        for name in df.columns
    ]
    return df.select(*columns)
