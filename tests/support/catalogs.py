"""Catalogs on local disk for tests: Iceberg's Hadoop catalog ``ice``, and Delta in ``spark_catalog``."""

import pyspark

_SPARK = ".".join(pyspark.__version__.split(".")[:2])
PACKAGES = {
    "4.0": ("org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.10.1", "io.delta:delta-spark_2.13:4.0.1"),
    "3.5": ("org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.1", "io.delta:delta-spark_2.12:3.3.3"),
}[_SPARK]


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
