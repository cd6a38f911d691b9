"""What a session knows of a table of a catalog (docs/contract.md, section 10). Spark alone: Sail is refused."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from blitz.catalog.names import SESSION_CATALOG, TableName, table_name
from blitz.errors import BlitzError, InputError
from blitz.spark.engine import SAIL, engine_of

_NO_TABLE = re.compile(r"TABLE_OR_VIEW_NOT_FOUND|NoSuchTableException|DELTA_TABLE_NOT_FOUND|DELTA_MISSING_DELTA_TABLE")
_NO_SCHEMA = re.compile(r"SCHEMA_NOT_FOUND|NoSuchNamespaceException|NAMESPACE_NOT_FOUND|: Database \S+ not found")
_NO_CATALOG = re.compile(r"CATALOG_NOT_FOUND|REQUIRES_SINGLE_PART_NAMESPACE|CatalogNotFoundException")


@dataclass(frozen=True)
class TableState:
    """A table as it is now: its kind (``MANAGED``, ``EXTERNAL``, ``VIEW``), provider (``delta``, ``iceberg``, …) in
    lower case, and schema, whose fields have the column comments."""

    kind: str
    provider: str
    schema: StructType

    @property
    def types(self) -> dict[str, str]:
        """The columns' types by name."""
        return {field.name: field.dataType.simpleString() for field in self.schema.fields}

    @property
    def comments(self) -> dict[str, str]:
        """The column comments by name."""
        return {field.name: field.metadata["comment"] for field in self.schema.fields if "comment" in field.metadata}


def read_table(spark: SparkSession, path: str) -> DataFrame:
    """The rows of the table that ``table:…`` names; InputError where there is no table or catalog of that name."""
    with translate_errors(spark, path):
        table = spark.table(table_name(path).sql)
        _ = table.columns  # Spark Connect looks at the name only now
        return table


def exists(spark: SparkSession, path: str) -> bool:
    """Whether there is a table or view of this name; InputError where there is no such catalog."""
    return state_of(spark, path) is not None


def state_of(spark: SparkSession, path: str) -> TableState | None:
    """The table as it is now; None where there is none, also where its schema is missing."""
    name = table_name(path)
    with translate_errors(spark, path):
        if not spark.catalog.tableExists(name.sql):
            return None
        described = spark.sql(f"DESCRIBE TABLE EXTENDED {name.sql}").collect()
        schema = spark.table(name.sql).schema
    details = {row["col_name"]: row["data_type"] for row in described}  # those of the table come after its columns
    return TableState(details.get("Type", "").upper(), details.get("Provider", "").lower(), schema)


def tables_like(spark: SparkSession, name: TableName) -> list[str]:
    """The tables in the schema of ``name`` whose names begin with its; none where there is no such schema, which some
    catalogs make with the first table."""
    schema = name.sql.rpartition(".")[0]
    try:
        return [row["tableName"] for row in spark.sql(f"SHOW TABLES IN {schema} LIKE '{name.table}*'").collect()]
    except Exception as error:
        if _NO_SCHEMA.search(str(error)):
            return []
        raise


def schemas_like(spark: SparkSession, name: TableName, prefix: str) -> list[str]:
    """The schemas in the catalog of ``name`` whose names begin with ``prefix``."""
    catalog = "" if name.catalog is None else f"IN `{name.catalog}` "
    return [row[0] for row in spark.sql(f"SHOW SCHEMAS {catalog}LIKE '{prefix}*'").collect()]


def catalog_of(spark: SparkSession, name: TableName) -> str:
    """The catalog of a table, in lower case: the one named, else the session's current one."""
    return (name.catalog or spark.catalog.currentCatalog() or SESSION_CATALOG).lower()


@contextmanager
def translate_errors(spark: SparkSession, path: str) -> Iterator[None]:
    """Turn what Spark says of a missing table, schema or catalog into one InputError; refuse Sail."""
    if engine_of(spark) == SAIL:
        raise BlitzError("Sail reads and writes no tables of a catalog; run on Spark", path=path)
    try:
        yield
    except Exception as error:
        text, name = str(error), table_name(path)
        if _NO_TABLE.search(text):
            raise InputError("no such table; check the name, and that this user may read it", path=path) from error
        if _NO_SCHEMA.search(text):
            raise InputError(f"no such schema: {name.schema}; create it first", path=path) from error
        if _NO_CATALOG.search(text) or f"catalog plugin class for catalog '{name.catalog}'" in text:
            way_out = f"set spark.sql.catalog.{name.catalog} in the config (spark)"
            raise InputError(f"no such catalog: {name.catalog}; {way_out}", path=path) from error
        raise
