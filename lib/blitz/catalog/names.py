"""Names of tables: ``table:catalog.schema.name`` in place of a path (docs/contract.md, section 10)."""

import re
from dataclasses import dataclass

from blitz.storage.paths import TABLE, is_table

SESSION_CATALOG = "spark_catalog"
_PART = re.compile(r"\w[\w-]*")


@dataclass(frozen=True)
class TableName:
    """The name of a table: schema and table, and the catalog where it is given; None: the session's current one."""

    catalog: str | None
    schema: str
    table: str

    @property
    def sql(self) -> str:
        """The name as SQL and ``spark.table`` take it, each part in backticks."""
        return ".".join(f"`{part}`" for part in self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The two or three parts of the name."""
        given = () if self.catalog is None else (self.catalog,)
        return (*given, self.schema, self.table)

    def next_to(self, table: str) -> "TableName":
        """Another table of the same schema."""
        return TableName(self.catalog, self.schema, table)

    def __str__(self) -> str:
        return TABLE + ".".join(self.parts)


def table_name(path: str) -> TableName:
    """The name in ``table:catalog.schema.name`` or ``table:schema.name``; ValueError says what is wrong with it."""
    parts = path[len(TABLE) :].split(".")
    if not is_table(path) or len(parts) not in (2, 3):
        raise ValueError(f'must look like "{TABLE}catalog.schema.name" or "{TABLE}schema.name", not "{path}"')
    wrong = next((part for part in parts if not _PART.fullmatch(part)), None)
    if wrong is not None:
        raise ValueError(f'each part of a table name is of letters, digits, _ and -, not "{wrong}" in "{path}"')
    return TableName(parts[0] if len(parts) == 3 else None, parts[-2], parts[-1])


def sibling(path: str, name: str) -> str:
    """The output ``name`` next to the output at ``path``: in its folder, or in its schema of a catalog."""
    if is_table(path):
        return f"{path.rpartition('.')[0]}.{name.removesuffix('.parquet')}"
    folder, slash, _ = path.rstrip("/").rpartition("/")
    return f"{folder}{slash}{name}"


def below(path: str, name: str) -> str:
    """The output ``name`` below the output at ``path``: in a folder of it, or a table whose name begins with its."""
    return f"{path}_{name}" if is_table(path) else f"{path.rstrip('/')}/{name}"
