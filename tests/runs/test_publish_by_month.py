"""Publishing by month with an engine: one month per file, kept files, rows of rewritten files, an empty table."""

from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.publish.months import month_of, publishing_months
from blitz.publish.tables import read_output

JANUARY, FEBRUARY, MARCH = "2025-01", "2025-02", "2025-03"


def names(path: str) -> list[str]:
    return [info.path.rpartition("/")[2] for info in storage.list_files(path) if info.path.endswith(".parquet")]


def test_months(spark: SparkSession, tmp_path: Path) -> None:
    path, month = f"{tmp_path}/t", F.col("of month")
    number = F.col("id") % 3 + 1
    rows = spark.range(60).select("id", F.concat(F.lit("2025-0"), number.cast("string")).alias("of month"))
    expected = [(number, f"2025-0{number % 3 + 1}") for number in range(60)]

    with publishing_months(path, month, run_id="r1") as output:
        output.stage(rows)
        assert output.commit().rows == 60
    assert {month_of(name) for name in names(path)} == {JANUARY, FEBRUARY, MARCH}
    assert sorted(map(tuple, read_output(spark, path).collect())) == expected

    kept = [name for name in names(path) if month_of(name) == JANUARY]
    unchanged = rows.where(month == FEBRUARY)
    with publishing_months(path, month, run_id="r2", keep=kept, unchanged=unchanged) as output:
        output.stage(rows.where(month == MARCH))
        assert output.commit().rows == 60
    assert sorted(map(tuple, read_output(spark, path).collect())) == expected
    assert [name for name in names(path) if "-kept-r2" in name] == [
        name.replace(".parquet", "-kept-r2.parquet") for name in kept
    ]

    with publishing_months(path, month, run_id="r3") as output:
        output.stage(rows.where("id < 0"))
        assert output.commit().rows == 0
    assert read_output(spark, path).columns == ["id", "of month"]
