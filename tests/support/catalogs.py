"""Catalogs on local disk for tests: Iceberg's Hadoop catalog ``ice``, and Delta in ``spark_catalog``."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pyspark
from pyspark.sql import SparkSession

import compare
from blitz.storage import list_files
from job_runs import QUICK

_SPARK = ".".join(pyspark.__version__.split(".")[:2])
PACKAGES = {
    "4.0": ("org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.10.1", "io.delta:delta-spark_2.13:4.0.1"),
    "3.5": ("org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.1", "io.delta:delta-spark_2.12:3.3.3"),
}[_SPARK]
AWS_BUNDLE = "org.apache.iceberg:iceberg-aws-bundle:1.10.1"
SCHEMAS = {"iceberg": "ice.db", "delta": "spark_catalog.db"}
_FOLDERS = {  # the raw tables of the sample: key of the config, name of the table
    "orders_data_path": "orders",
    "order_items_data_path": "lines",
    "orderqueries_path": "queries",
    "orders_file_pattern": "orders",
    "order_items_file_pattern": "lines",
}
_MAPPINGS = ("mapping_file", "store_mds_dsr_path", "store_master_path", "categories_path", "clear_master_path")


def catalog_conf(folder: str) -> dict[str, str]:
    """Spark settings with both catalogs below a folder."""
    return {
        "spark.jars.packages": ",".join(PACKAGES),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions,"
        "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.ice": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.ice.type": "hadoop",
        "spark.sql.catalog.ice.warehouse": f"{folder}/iceberg",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.databricks.delta.snapshotPartitions": "2",
    }


def glue_conf(endpoint: str, bucket: str) -> dict[str, str]:
    """Spark settings with the catalog ``glue``: Iceberg in Glue, its files in a bucket, both of moto's server."""
    settings = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "glue",
        ".warehouse": f"s3://{bucket}/warehouse",
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        ".glue.endpoint": endpoint,
        ".s3.endpoint": endpoint,
        ".s3.path-style-access": "true",
        ".client.region": "us-east-1",
    }
    return {f"spark.sql.catalog.glue{key}": value for key, value in settings.items()}


def catalog_session(folder: str, more: Mapping[str, str] | None = None) -> SparkSession:
    """A session with both catalogs, the schema ``db`` in each, and more settings; with Glue if these have it."""
    conf = QUICK | catalog_conf(folder) | dict(more or {})
    if more:
        conf["spark.jars.packages"] += f",{AWS_BUNDLE}"
    conf |= {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "OFF"}
    conf |= {"spark.sql.execution.arrow.pyspark.enabled": "true"}
    conf |= {"spark.python.sql.dataFrameDebugging.enabled": "false"}  # as in conftest.py: a quarter of a small run
    builder, remote = SparkSession.builder.config(map=conf), os.environ.get("SPARK_REMOTE")
    session = (builder.remote(remote) if remote else builder.master("local[2]")).getOrCreate()
    for schema in SCHEMAS.values():
        session.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for log in Path(folder).glob("warehouse/db.db/*/_delta_log"):  # this catalog forgets its tables with its session
        if any(log.glob("*.json")):
            session.sql(f"CREATE TABLE spark_catalog.db.{log.parent.name} USING delta LOCATION '{log.parent}'")
    return session


def sql_of(path: str) -> str:
    """The name in ``table:…``."""
    return path.removeprefix("table:")


def in_catalog(spark: SparkSession, config: dict[str, Any], fmt: str, manifest: Path) -> dict[str, Any]:
    """The config with all inputs as tables of a catalog, which get the rows of its files, and all outputs as well.

    CSV files become tables of text, Parquet files keep their types.
    """
    body = copy.deepcopy(config)
    features, segmentation, schema = body["feature_pipeline"], body["segmentation"], SCHEMAS[fmt]
    for name, section in features.items():
        for key, table in _FOLDERS.items():
            if section.get(key):
                section[key] = _loaded(spark, section[key], f"{schema}.{name}_{table}", fmt)
        if "output_path" in section:
            section["output_path"] = f"table:{schema}.out_{name}"
    for key in _MAPPINGS:
        features["common"][key] = _loaded(spark, features["common"][key], f"{schema}.{key}", fmt)
    segmentation["output_segments_path"] = f"table:{schema}.out_segments"
    segmentation["output_microsegments_path"] = f"table:{schema}.out_microsegments"
    features["customer"]["output_scores_path"] = f"table:{schema}.out_scores"
    segmentation.pop("input_path", None)
    body["run"] |= {"engine": "spark", "format": fmt, "manifest_path": str(manifest)}
    return body


def _loaded(spark: SparkSession, path: str, table: str, fmt: str) -> str:
    """Make a table of the files at a path, and return its name as a config has it."""
    rows = pa.concat_tables([_read(info.path) for info in list_files(path)], promote_options="permissive")
    times = [
        pa.field(f.name, pa.timestamp("us", f.type.tz)) if pa.types.is_timestamp(f.type) else f for f in rows.schema
    ]
    frame = spark.createDataFrame(rows.cast(pa.schema(times), safe=False).to_pandas())
    if fmt == "iceberg":  # as catalogs have them that know no blanks and capitals
        frame = frame.toDF(*[name.replace(" ", "_").lower() for name in frame.columns])
    writer = frame.writeTo(table).using(fmt)
    writer.tableProperty("delta.columnMapping.mode", "name").create()
    return f"table:{table}"


def _read(path: str) -> pa.Table:
    if path.endswith(".parquet"):
        return pq.read_table(path)
    names = pa_csv.open_csv(path).schema.names
    return pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())))


def outputs_as_files(spark: SparkSession, body: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The config with copies of its output tables as Parquet, for what compares files."""
    found = copy.deepcopy(body)
    features, segmentation = found["feature_pipeline"], found["segmentation"]
    for step, path in compare.output_paths(body).items():
        spark.table(sql_of(path)).write.mode("overwrite").parquet(f"{folder}/{step}")
    for name, section in features.items():
        if "output_path" in section:
            section["output_path"] = f"{folder}/{'customers' if name == 'customer' else name}"
    features["customer"]["output_scores_path"] = f"{folder}/scores"
    segmentation["output_segments_path"] = f"{folder}/segments"
    segmentation["output_microsegments_path"] = f"{folder}/microsegments"
    return found
