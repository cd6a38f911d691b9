"""Tables of a catalog: which there are, and without the versions that still hold the customers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

from pyspark.sql import SparkSession

from blitz.catalog.names import TableName, table_name
from blitz.catalog.tables import catalog_of, schemas_like, state_of, tables_like, translate_errors
from blitz.errors import PublishError
from blitz.publish.catalog import staging_tables

_VACUUM_DAYS = 7  # for which Delta's VACUUM keeps the files of earlier versions by default
_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"


def names_like(spark: SparkSession, name: TableName) -> list[str]:
    """``schema.table`` of the tables in the schemas of a table's catalog that its name may mean for some run date: its
    own schema, or where its name has the digits of a date, all whose names have the same letters before them.

    Raises InputError where there is no such catalog.
    """
    with translate_errors(spark, str(name)):
        before, *digits = re.split(r"\d{8}", name.schema)
        schemas = schemas_like(spark, name, before) if digits else [name.schema]
        prefix = re.split(r"\d{8}", name.table)[0]
        return [
            f"{schema}.{table}"
            for schema in schemas
            for table in tables_like(spark, TableName(name.catalog, schema, prefix))
        ]


def drop_leftovers(spark: SparkSession, path: str) -> list[str]:
    """Remove the staging tables of killed runs next to a table; returns their names.

    Raises PublishError for one whose run began less than two days ago: it may be publishing.
    """
    with translate_errors(spark, path):
        found = staging_tables(spark, table_name(path))
    young = [str(each) for each, is_old in found if not is_old]
    if young:
        raise PublishError(
            f"a run that began less than two days ago may be publishing ({', '.join(young)}); erase again when it has "
            "ended, and if it was killed, drop that table first",
            path=path,
        )
    for each, _ in found:
        drop(spark, str(each))
    return [str(each) for each, _ in found]


def drop(spark: SparkSession, path: str) -> None:
    """Remove a table, its versions and its files. The files of an external Delta table stay, and a platform that can
    bring a dropped table back keeps those of a managed one for some days (docs/privacy.md)."""
    state = state_of(spark, path)
    if state is not None:
        purge = " PURGE" if state.provider == "iceberg" else ""  # without it, some catalogs leave the files
        spark.sql(f"DROP TABLE IF EXISTS {table_name(path).sql}{purge}")


def expire_versions(spark: SparkSession, path: str) -> date | None:
    """Remove the earlier versions of a table and the files that only they have; returns until when they live, where the
    platform does not remove them now.

    Of Iceberg, the branches that dead runs left are removed, too; the log of a Delta table stays, with minima and
    maxima of columns of earlier versions.
    """
    state = state_of(spark, path)
    if state is None:
        return None
    if state.provider != "iceberg":
        return _vacuum(spark, path)
    _expire_iceberg(spark, path)
    return None


def _expire_iceberg(spark: SparkSession, path: str) -> None:
    name = table_name(path)
    for row in spark.sql(f"SELECT name FROM {name.sql}.refs").collect():
        if row["name"].startswith("blitz_"):
            spark.sql(f"ALTER TABLE {name.sql} DROP BRANCH IF EXISTS {row['name']}")
    now = datetime.now(UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    spark.sql(
        f"CALL `{catalog_of(spark, name)}`.system.expire_snapshots(table => '`{name.schema}`.`{name.table}`', "
        f"older_than => TIMESTAMP '{now}', retain_last => 1)"
    )


def _vacuum(spark: SparkSession, path: str) -> date:
    """Delete the files of earlier versions. Their log entries live for as long as the table says, 30 days by default;
    where the platform refuses to delete younger files, the files for seven."""
    until = datetime.now(UTC).date()
    try:
        with _without_check(spark):
            spark.sql(f"VACUUM {table_name(path).sql} RETAIN 0 HOURS")
    except Exception as error:  # the classes differ by platform; any other error is not of the retention
        if "retention" not in str(error).lower() and _CHECK not in str(error):
            raise
        spark.sql(f"VACUUM {table_name(path).sql}")
        return until + timedelta(days=_VACUUM_DAYS)
    return until + timedelta(days=30)


@contextmanager
def _without_check(spark: SparkSession) -> Iterator[None]:
    before = spark.conf.get(_CHECK, "true")
    spark.conf.set(_CHECK, "false")
    try:
        yield
    finally:
        spark.conf.set(_CHECK, str(before))
