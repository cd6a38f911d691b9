"""Tables of a catalog in a session without catalogs of its own: Sail refuses them, Spark says what is missing."""

import pytest

from blitz.errors import BlitzError
from blitz.publish.tables import publish, read_output
from blitz.spark.engine import SAIL, engine_of


def test_the_message_names_the_table_and_the_way_out(spark) -> None:
    on_sail = "table:no_such.db.t: Sail reads and writes no tables of a catalog; run on Spark"
    on_spark = "table:no_such.db.t: no such catalog: no_such; set spark.sql.catalog.no_such in the config (spark)"
    for call in (
        lambda: read_output(spark, "table:no_such.db.t"),
        lambda: publish(spark.range(3), "table:no_such.db.t", fmt="iceberg", run_id="r"),
    ):
        with pytest.raises(BlitzError) as caught:
            call()
        assert str(caught.value) == (on_sail if engine_of(spark) == SAIL else on_spark)
