"""Tables with the customers' ids: which of their files hold rows of erased customers, and the tables without them."""

import logging
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz import storage
from blitz.erase.catalogs import drop_leftovers, expire_versions
from blitz.erase.places import Place
from blitz.erase.request import Request
from blitz.errors import InputError
from blitz.publish import delta
from blitz.publish.files import recover
from blitz.publish.months import publishing_months
from blitz.publish.rewrite import recreate_delta, require_rows, rewriting
from blitz.publish.tables import Output, output_exists, publishing, read_output
from blitz.raw.csv_cells import FILE
from blitz.raw.parquet_schema import parquet_columns
from blitz.raw.readers import cell_of, raw_cells
from blitz.raw.tables import FileGroup, RawColumn
from blitz.segmentation.segments import ID_COLUMN
from blitz.spark.columns import quoted
from blitz.storage.frames import read_parquet

log = logging.getLogger(__name__)

_ERASED = "_erased_id"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?=/)")
_LOG_DAYS = 30  # for which Delta keeps the log entries of earlier versions, unless the table says otherwise


@dataclass(frozen=True)
class Found:
    """A table and its files with rows of the customers: rows by file. ``rows`` and ``files`` are those of the table;
    ``versions``: of a Delta table, how many it has. ``in_catalog``: a table of a catalog, whose files and versions are
    the catalog's own."""

    place: Place
    files: int
    rows: int
    hits: Mapping[str, int]
    versions: int = 0
    in_catalog: bool = False

    @property
    def is_delta(self) -> bool:
        """Whether it is a Delta table."""
        return self.versions > 0

    @property
    def is_touched(self) -> bool:
        """Whether it must be written again: it has rows of the customers, or versions that may have."""
        return bool(self.hits) or self.versions > 1 or self.in_catalog

    @property
    def hit_rows(self) -> int:
        """How many rows of the customers it has."""
        return sum(self.hits.values())


@dataclass(frozen=True)
class Erased:
    """What was done with a table; ``log_until``: until when the log or the files of earlier versions live."""

    found: Found
    rewritten: int
    log_until: date | None = None


class Tables:
    """Tables that have the column ``algonomy_id``, and the customers to erase from them.

    Args:
        spark: the session.
        request: the customers.
    """

    def __init__(self, spark: SparkSession, request: Request) -> None:
        self._spark = spark
        ids = pd.DataFrame({_ERASED: sorted(request.customers)})
        self._ids = F.broadcast(spark.createDataFrame(ids, f"{_ERASED} string"))

    def find(self, places: Sequence[Place]) -> tuple[list[Found], set[str]]:
        """The tables that exist at some places, and which of the customers they have.

        Parquet tables are searched in one query over their columns of ids. Raises InputError for a table without ids.
        """
        here = [place for place in places if output_exists(self._spark, place.path)]
        named = [place for place in here if storage.is_table(place.path)]
        deltas = [place for place in here if place not in named and delta.versions(place.path)]
        parquet = [place for place in here if place not in named and place not in deltas]
        found, customers = self._find_parquet(parquet) if parquet else ([], set[str]())
        for place in [*named, *deltas]:
            table, of_table = self._count(place)
            found.append(table)
            customers |= of_table
        return found, customers

    def _find_parquet(self, places: Sequence[Place]) -> tuple[list[Found], set[str]]:
        files = {place: _data_files(place.path) for place in places}
        groups: dict[FileGroup, list[str]] = {}
        rows: dict[str, int] = {}
        for path in (path for each in files.values() for path in each):
            column, rows[path] = _id_column(path)
            groups.setdefault(FileGroup("parquet", (column,), 0), []).append(path)
        hits: dict[str, int] = {}
        customers: set[str] = set()
        for shape, paths in groups.items():
            mine = self._with_ids(replace(shape, paths=tuple(paths)))
            by_uri = {_plain(storage.spark_path(path)): path for path in paths}
            for row in mine.groupBy(FILE, ID_COLUMN).count().collect():
                path = by_uri[_plain(row[FILE])]
                hits[path] = hits.get(path, 0) + int(row["count"])
                customers.add(row[ID_COLUMN])
        tables = [
            Found(
                place, len(each), sum(rows[path] for path in each), {path: hits[path] for path in each if path in hits}
            )
            for place, each in files.items()
        ]
        return tables, customers

    def _with_ids(self, group: FileGroup) -> DataFrame:
        """``algonomy_id`` and the file of the customers' rows."""
        cells = raw_cells(self._spark, group, "path")
        ids = cells.frame.select(cell_of(cells.group.columns[0]).cast("string").alias(ID_COLUMN), FILE)
        return self._mine(ids)

    def _count(self, place: Place) -> tuple[Found, set[str]]:
        """A table of a catalog or of Delta, whose files are not known by themselves."""
        table = self._rows(place.path)
        total = table.count()
        counted = self._mine(table.select(F.col(ID_COLUMN).cast("string"))).groupBy(ID_COLUMN).count().collect()
        hits = {place.path: sum(int(row["count"]) for row in counted)} if counted else {}
        customers = {row[ID_COLUMN] for row in counted}
        if storage.is_table(place.path):
            return Found(place, 0, total, hits, in_catalog=True), customers
        files = len(storage.list_files(place.path))
        return Found(place, files, total, hits, delta.versions(place.path)), customers

    def _rows(self, path: str) -> DataFrame:
        """The rows of a table of a catalog or of Delta."""
        return read_output(self._spark, path, "delta")

    def erase(self, found: Found, run_id: str) -> Erased:
        """Publish a table without the rows of the customers.

        Raises PublishError where another run publishes there, or where the rows do not add up; the table stays then.
        """
        if found.in_catalog:
            return self._erase_from_catalog(found, run_id)
        if found.is_delta:
            return self._erase_from_delta(found, run_id)
        return self._erase_from_parquet(found, run_id)

    def _erase_from_parquet(self, found: Found, run_id: str) -> Erased:
        keep: list[str] = []
        with _publication(found.place, keep, run_id) as output:
            (now,), _ = self.find([found.place])  # under the lock: a run may have published in the meantime
            if now.hits:
                others = [path for path in _data_files(now.place.path) if path not in now.hits]
                keep += [path.rpartition("/")[2] for path in others]
                staged = output.stage(self._others(read_parquet(self._spark, sorted(now.hits))))
                require_rows(staged, now.rows - now.hit_rows)
                output.commit()
        return Erased(now, len(now.hits))

    def _erase_from_delta(self, found: Found, run_id: str) -> Erased:
        path = found.place.path
        rows = self._others(self._rows(path))
        published = recreate_delta(rows, path, run_id=run_id, expected=found.rows - found.hit_rows)
        until = (datetime.now(UTC) + timedelta(days=_LOG_DAYS)).date() if storage.is_s3(path) else None
        return Erased(found, published.files, until)

    def _erase_from_catalog(self, found: Found, run_id: str) -> Erased:
        path = found.place.path
        if found.hits:
            with publishing(path, run_id=run_id) as output:
                staged = output.stage(self._others(self._rows(path)))
                require_rows(staged, found.rows - found.hit_rows)
                output.commit()
        return Erased(found, 0, expire_versions(self._spark, path))

    def _mine(self, rows: DataFrame) -> DataFrame:
        """The rows of the customers. The ids are on the left, of which Sail makes the hash table of a join."""
        return self._ids.join(rows, F.col(ID_COLUMN) == F.col(_ERASED)).drop(_ERASED)

    def _others(self, rows: DataFrame) -> DataFrame:
        """The rows of other customers, and those without an id."""
        joined = self._ids.join(rows, F.col(ID_COLUMN).cast("string") == F.col(_ERASED), "right")
        return joined.where(F.col(_ERASED).isNull()).select(*map(quoted, rows.columns))


def _publication(place: Place, keep: list[str], run_id: str) -> AbstractContextManager[Output]:
    """The publication of a table whose files named in ``keep``, when the rows are staged, stay."""
    if place.day_column is None:
        return rewriting(place.path, keep, run_id=run_id)
    day = F.col(place.day_column).cast("string")
    return publishing_months(place.path, day, run_id=run_id, keep=lambda: keep)


def recover_leftovers(spark: SparkSession, places: Sequence[Place]) -> list[str]:
    """Complete or undo the swap of runs that died next to some tables, and remove what they left; returns the paths.

    Raises PublishError where a living run is publishing there.
    """
    found = []
    for place in places:
        if storage.is_table(place.path):
            found += drop_leftovers(spark, place.path)
            continue
        parent, _, name = place.path.rstrip("/").rpartition("/")
        if storage.list_files(f"{parent}/.{name}.blitz-*") or storage.exists(f"{parent}/.{name}.blitz.journal"):
            log.info("%s: removing what a killed run left", place.path)
            recover(place.path)
            found.append(place.path)
    return found


def _data_files(path: str) -> list[str]:
    """The Parquet files of a table, which may be one file itself."""
    files = [info.path for info in storage.list_files(path)]
    parquet = [each for each in files if each.endswith((".parquet", ".par"))]
    return parquet or (files if len(files) == 1 else [])


def _id_column(path: str) -> tuple[RawColumn, int]:
    """The column of ids of a Parquet file, and its number of rows. Raises InputError where it has none."""
    try:
        columns, rows = parquet_columns(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError("is damaged, or not Parquet; its rows of the customers cannot be erased", path=path) from error
    found = next((column for column in columns if column.name == ID_COLUMN), None)
    if found is None:
        raise InputError(f"has no column {ID_COLUMN}; is this an output of the pipeline?", path=path)
    return found, rows


def _plain(uri: str) -> str:
    """A file's URI without its scheme: the engines write ``file:/a`` and ``file:///a``, this package ``/a``."""
    scheme = _SCHEME.match(uri)
    return (urllib.parse.unquote(uri[scheme.end() :]) if scheme else uri).lstrip("/")
