"""How the rows of a frame are divided for later groupings and joins, on each engine."""

from pyspark.sql import DataFrame

from blitz.spark.engine import SAIL, engine_of


def partitioned_by(df: DataFrame, key: str) -> DataFrame:
    """Return the frame, on Spark shuffled by ``key``: one shuffle for all groupings and joins by it that follow.

    Sail divides the rows for each of them whatever came before.
    """
    return df if engine_of(df.sparkSession) == SAIL else df.repartition(key)
