"""A secret as a column of a frame."""

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from blitz.spark.engine import SAIL, engine_of


def with_secret(rows: DataFrame, name: str, value: str) -> DataFrame:
    """The rows with a column that has the secret in each row.

    Spark shows literals in the plans that its pages and event logs have, and no values of frames, so there it is a
    frame of one row. Sail shows and logs no plans, and loses the condition of an inner join over a cross join.
    """
    if engine_of(rows.sparkSession) == SAIL:
        return rows.withColumn(name, F.lit(value))
    secret = rows.sparkSession.createDataFrame(pd.DataFrame({name: [value]}), f"{name} string")
    return rows.crossJoin(F.broadcast(secret))
