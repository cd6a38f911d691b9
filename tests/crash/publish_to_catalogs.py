"""Publishing to tables of catalogs: Iceberg and Delta need jars, hence a session and a process of their own.

Not collected by itself: ``tests/crash/test_catalogs.py`` runs it.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.errors import InputError, PublishError
from blitz.publish.tables import Format, Published, publish, publishing, read_output
from catalogs import catalog_session, glue_conf, sql_of

Rows = dict[str, int]


@pytest.fixture(scope="module")
def spark(moto_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    boto3.client("s3", endpoint_url=moto_server).create_bucket(Bucket="lake")
    session = catalog_session(str(tmp_path_factory.mktemp("catalogs")), glue_conf(moto_server, "lake"))
    yield session
    session.stop()


# The rows of an Iceberg table are staged on a branch or, with other columns, in a table; those of a Delta table always
# in a table.
CASES = pytest.mark.parametrize(
    ("fmt", "columns"),
    [("iceberg", "same"), ("iceberg", "other"), ("delta", "other")],
    ids=["iceberg-same", "iceberg-other", "delta-other"],
)


@pytest.fixture(params=["iceberg", "delta"])
def fmt(request: pytest.FixtureRequest) -> Format:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def path(fmt: Format) -> str:
    return f"table:{'ice' if fmt == 'iceberg' else 'spark_catalog'}.db.t_{uuid.uuid4().hex[:8]}"


def frame(spark: SparkSession, tag: str, rows: int = 30) -> DataFrame:
    made = spark.range(rows).repartition(3).select("id", F.lit(tag).alias("which one"), F.array("id").alias("a list"))
    return made.withColumn("at", F.to_timestamp_ntz(F.lit("2024-01-01 00:00:00"))).withColumn(
        "flag", F.lit(1).cast("tinyint")
    )


def wider(df: DataFrame) -> DataFrame:
    """The same rows with one column less and one more."""
    return df.drop("a list").withColumn("one more", F.lit(1.5))


def changed(columns: str, df: DataFrame) -> DataFrame:
    """The rows with the same columns or with others."""
    return wider(df) if columns == "other" else df


def failing(df: DataFrame) -> DataFrame:
    """Rows of which the last cannot be computed."""
    return df.withColumn("id", F.expr("if(id < 29, id, raise_error('no such row'))"))


def tags(df: DataFrame) -> Rows:
    return {row[0]: row[1] for row in df.groupBy("which one").count().collect()}


def put(df: DataFrame, path: str, fmt: Format, error: Exception | None = None) -> Published:
    """Publish with a check between ``stage`` and ``commit``, which raises the error if there is one."""
    with publishing(path, fmt=fmt, run_id="r-1", comment_of={"id": "the key", "one more": "new"}.get) as output:
        staged = output.stage(df)
        assert staged.rows == output.rows().count()
        if error:
            raise error
        return output.commit()


def versions(spark: SparkSession, path: str, fmt: Format) -> list[str]:
    """The versions that readers have seen, the latest last."""
    if fmt == "delta":
        return sorted(str(row["version"]) for row in spark.sql(f"DESCRIBE HISTORY {sql_of(path)}").collect())
    rows = spark.sql(f"SELECT snapshot_id FROM {sql_of(path)}.history ORDER BY made_current_at").collect()
    return [str(row[0]) for row in rows]


def at_version(spark: SparkSession, path: str, version: str) -> DataFrame:
    return spark.sql(f"SELECT * FROM {sql_of(path)} VERSION AS OF {version}")


def bring_back(spark: SparkSession, path: str, fmt: Format, version: str) -> None:
    """As docs/platforms.md says it, also where the columns have changed since."""
    if fmt == "delta":
        spark.sql(f"RESTORE TABLE {sql_of(path)} TO VERSION AS OF {version}").collect()
    else:
        spark.sql(f"CALL ice.system.set_current_snapshot('{sql_of(path).removeprefix('ice.')}', {version})").collect()


def comments(spark: SparkSession, path: str) -> dict[str, str]:
    fields = spark.table(sql_of(path)).schema.fields
    return {field.name: field.metadata["comment"] for field in fields if "comment" in field.metadata}


def leftovers(spark: SparkSession, path: str, fmt: Format) -> list[str]:
    """Tables and branches of a run that are still there."""
    catalog, schema, name = sql_of(path).split(".")
    tables = [row["tableName"] for row in spark.sql(f"SHOW TABLES IN {catalog}.{schema}").collect()]
    found = [table for table in tables if table.startswith(name) and table != name]
    if fmt == "iceberg" and name in tables:
        refs = spark.sql(f"SELECT name FROM {sql_of(path)}.refs WHERE name != 'main'").collect()
        found += [row["name"] for row in refs]
    return found


def test_created_with_comments_then_replaced_in_one_commit_each(spark: SparkSession, path: str, fmt: Format) -> None:
    first = put(frame(spark, "old"), path, fmt)
    assert (first.path, first.rows) == (path, 30) and first.files >= 1 and first.bytes > 500
    assert comments(spark, path) == {"id": "the key"}
    spark.sql(f"ALTER TABLE {sql_of(path)} ALTER COLUMN `which one` COMMENT 'by a user'")
    before = versions(spark, path, fmt)
    second = put(frame(spark, "new", 7), path, fmt)
    assert (second.rows, second.version) == (7, versions(spark, path, fmt)[-1])
    assert len(versions(spark, path, fmt)) == len(before) + 1
    assert tags(read_output(spark, path)) == {"new": 7}
    assert first.version and tags(at_version(spark, path, first.version)) == {"old": 30}
    assert comments(spark, path) == {"id": "the key", "which one": "by a user"}
    third = put(wider(frame(spark, "third")), path, fmt)
    assert len(versions(spark, path, fmt)) == len(before) + 2
    assert tags(read_output(spark, path)) == {"third": 30}
    assert read_output(spark, path).columns == ["id", "which one", "at", "flag", "one more"]
    assert comments(spark, path) == {"id": "the key", "which one": "by a user", "one more": "new"}
    assert second.version and tags(at_version(spark, path, second.version)) == {"new": 7}
    assert third.version == versions(spark, path, fmt)[-1]
    bring_back(spark, path, fmt, second.version)
    assert tags(read_output(spark, path)) == {"new": 7}
    empty = publish(frame(spark, "none", 0), path, fmt=fmt, run_id="r-2")
    assert empty.rows == 0 and read_output(spark, path).count() == 0
    assert leftovers(spark, path, fmt) == []


@CASES
def test_what_stops_a_run_leaves_the_version_before(spark: SparkSession, path: str, fmt: Format, columns: str) -> None:
    """A check, and an expression that fails for the last row while the rows are written: where a catalog drops the table
    before it replaces it (delta-io/delta#6133, lakehq/sail#2166), there would be no table left."""
    refused = InputError("too many rejected rows")
    with pytest.raises(InputError, match="too many rejected"):
        put(frame(spark, "new"), path, fmt, refused)
    with pytest.raises(InputError, match=f"^{path}: no such table"):
        read_output(spark, path)
    put(frame(spark, "old"), path, fmt)
    before, made = versions(spark, path, fmt), spark.sql(f"DESCRIBE TABLE EXTENDED {sql_of(path)}").collect()
    with pytest.raises(InputError, match="too many rejected"):
        put(changed(columns, frame(spark, "new")), path, fmt, refused)
    with pytest.raises(Exception, match="no such row"):
        put(changed(columns, failing(frame(spark, "new"))), path, fmt)
    with pytest.raises(Exception, match="no such row"):
        publish(changed(columns, failing(frame(spark, "new"))), path, fmt=fmt, run_id="r")
    assert versions(spark, path, fmt) == before and tags(read_output(spark, path)) == {"old": 30}
    assert spark.sql(f"DESCRIBE TABLE EXTENDED {sql_of(path)}").collect() == made
    assert leftovers(spark, path, fmt) == []


@CASES
def test_of_two_runs_at_once_one_fails(spark: SparkSession, path: str, fmt: Format, columns: str) -> None:
    put(frame(spark, "old"), path, fmt)
    with publishing(path, fmt=fmt, run_id="a") as first:
        first.stage(frame(spark, "first"))
        with publishing(path, fmt=fmt, run_id="b") as second:
            second.stage(changed(columns, frame(spark, "second")))
            second.commit()
        with pytest.raises(PublishError) as caught:
            first.commit()
    assert str(caught.value).startswith(f"{path}: another run has published here while this one computed")
    assert tags(read_output(spark, path)) == {"second": 30}
    assert leftovers(spark, path, fmt) == []


def test_of_two_first_runs_one_fails(spark: SparkSession, path: str, fmt: Format) -> None:
    with publishing(path, fmt=fmt, run_id="a") as first:
        first.stage(frame(spark, "first"))
        publish(frame(spark, "second"), path, fmt=fmt, run_id="b")
        with pytest.raises(PublishError, match="another run has published here"):
            first.commit()
    assert tags(read_output(spark, path)) == {"second": 30}


def test_maintenance_meanwhile_is_no_other_run(spark: SparkSession, path: str, fmt: Format) -> None:
    put(frame(spark, "old"), path, fmt)
    with publishing(path, fmt=fmt, run_id="a") as output:
        output.stage(frame(spark, "new"))
        if fmt == "delta":
            spark.sql(f"OPTIMIZE {sql_of(path)}").collect()
        else:
            name = sql_of(path).removeprefix("ice.")
            spark.sql(
                f"CALL ice.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true'))"
            ).collect()
        maintained = versions(spark, path, fmt)
        assert len(maintained) == 2
        assert output.commit().rows == 30
    assert tags(read_output(spark, path)) == {"new": 30} and len(versions(spark, path, fmt)) == 3


def test_staging_tables_of_dead_runs_go_after_two_days(spark: SparkSession, path: str, fmt: Format) -> None:
    name = sql_of(path)
    young = f"__blitz_{datetime.now(UTC):%Y%m%dT%H%M%SZ}_a1b2c3d4"
    for suffix in ("__blitz_20250101T000000Z_a1b2c3d4", young, "__blitz_of_a_user"):
        spark.sql(f"CREATE TABLE {name}{suffix} USING {fmt} AS SELECT 1 AS id")
    put(frame(spark, "new"), path, fmt)
    left = {table.lower() for table in leftovers(spark, path, fmt)}
    assert left == {f"{name.split('.')[-1]}{suffix}".lower() for suffix in (young, "__blitz_of_a_user")}


def test_what_cannot_be_replaced_in_one_commit_is_refused(spark: SparkSession) -> None:
    spark.sql("CREATE TABLE spark_catalog.db.plain USING parquet AS SELECT 1 AS id")
    spark.sql("CREATE VIEW spark_catalog.db.seen AS SELECT 1 AS id")
    rows = frame(spark, "new")
    put(rows, "table:ice.db.taken", "iceberg")
    cases: list[tuple[str, Format, str]] = [
        ("table:spark_catalog.db.plain", "delta", "is a table of the format parquet, which cannot be replaced"),
        ("table:spark_catalog.db.seen", "delta", "is a view"),
        ("table:ice.db.taken", "delta", "run.format is delta, but the table is iceberg"),
        ("table:spark_catalog.none.t", "delta", "no such schema: none"),
        ("table:none.db.t", "delta", "no such catalog: none; set spark.sql.catalog.none"),
    ]
    for path, fmt, reason in cases:
        with pytest.raises((PublishError, InputError)) as caught:
            put(rows, path, fmt)
        assert str(caught.value).startswith(f"{path}: {reason}"), str(caught.value)
    assert spark.table("spark_catalog.db.plain").collect() == [(1,)]


def test_iceberg_in_glue(spark: SparkSession, moto_server: str) -> None:
    """Created, replaced on a branch and with other columns; of two runs one fails; a plain Glue table is refused."""
    path = "table:glue.db.t"
    glue = boto3.client("glue", endpoint_url=moto_server)
    with pytest.raises(InputError, match=f"^{path}: no such schema: db; create it first"):
        put(frame(spark, "old"), path, "iceberg")
    glue.create_database(DatabaseInput={"Name": "db"})
    first = put(frame(spark, "old"), path, "iceberg")
    put(frame(spark, "new", 7), path, "iceberg")
    assert tags(read_output(spark, path)) == {"new": 7}
    assert first.version and tags(at_version(spark, path, first.version)) == {"old": 30}
    put(wider(frame(spark, "wide")), path, "iceberg")
    with publishing(path, fmt="iceberg", run_id="a") as output:
        output.stage(wider(frame(spark, "slow")))
        publish(wider(frame(spark, "fast")), path, fmt="iceberg", run_id="b")
        with pytest.raises(PublishError, match="another run has published here"):
            output.commit()
    assert tags(read_output(spark, path)) == {"fast": 30}
    assert [table["Name"] for table in glue.get_tables(DatabaseName="db")["TableList"]] == ["t"]
    stored = {"Columns": [{"Name": "id", "Type": "int"}], "Location": "s3://lake/plain"}
    glue.create_table(
        DatabaseName="db", TableInput={"Name": "plain", "TableType": "EXTERNAL_TABLE", "StorageDescriptor": stored}
    )
    with pytest.raises(PublishError, match="^table:glue.db.plain: is no Iceberg table, and cannot be replaced in one"):
        put(frame(spark, "new"), "table:glue.db.plain", "iceberg")
    assert not glue.get_table(DatabaseName="db", Name="plain")["Table"].get("Parameters", {}).get("metadata_location")


def test_the_catalogs_own_format_and_names_without_a_catalog(spark: SparkSession) -> None:
    """run.format is parquet: the catalog's plug-in says what its tables are, and so does an existing table."""
    for path, full, found in (
        ("table:ice.db.own", "table:ice.db.own", "iceberg"),
        ("table:db.own", "table:spark_catalog.db.own", "delta"),
    ):
        publish(frame(spark, "old"), path, fmt="parquet", run_id="a")
        publish(frame(spark, "new"), full, fmt="parquet", run_id="b")
        described = spark.sql(f"DESCRIBE TABLE EXTENDED {sql_of(full)}").collect()
        assert [row["data_type"] for row in described if row["col_name"] == "Provider"] == [found]
        assert tags(read_output(spark, path)) == {"new": 30}
