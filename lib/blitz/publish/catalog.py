"""Publish a table of a catalog: each run is one commit of the catalog itself (docs/contract.md, section 10).

There are no locks, journals or files of ours: the catalog decides which commit wins, and keeps the version before. An
existing table is never dropped. Readers of the table do not see what is staged:

| table | staged as | ``commit`` |
|---|---|---|
| Iceberg, with the columns that it has | a branch of the table | main moves to the branch; nothing is written again |
| Iceberg with other columns, Delta, a new table | ``NAME__blitz_RUN``, next to it | writes the rows to the table |

Where a run died, Iceberg's snapshot expiry releases the branch after two days, and the next run that stages drops
staging tables that are older. Commits of others while a run computes, but for maintenance, stop it: of two runs at
once, one fails.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession

from blitz.catalog.names import TableName, table_name
from blitz.catalog.tables import TableState, state_of, tables_like, translate_errors
from blitz.errors import PublishError
from blitz.publish.base import Published
from blitz.publish.catalog_formats import FORMATS, ICEBERG, CatalogFormat, own_format, with_comments
from blitz.publish.delta import translate_delta_errors

STAGING = "__blitz_"
_OLD = timedelta(days=2)  # the branches of Iceberg are kept as long
_BEGUN = re.compile(r"[0-9]{8}T[0-9]{6}Z")  # how the ids of runs begin, in upper case: most catalogs know no capitals
_CONFLICT = re.compile(
    r"Cannot fast-forward|CommitFailedException|Concurrent\w+Exception|DELTA_CONCURRENT|DELTA_METADATA_CHANGED|"
    r"MetadataChangedException|ALREADY_EXISTS|AlreadyExistsException"
)
CommentOf = Callable[[str], str | None]  # the comment of a column, None where it has none
_log = logging.getLogger(__name__)


def no_comment(_: str) -> None:
    """No column has a comment."""


class CatalogOutput:
    """A table of a catalog that is being published; made by ``publishing_table``, with its arguments."""

    def __init__(self, path: str, fmt: str, run_id: str, is_checked: bool, comment_of: CommentOf) -> None:
        self._path, self._fmt, self._run = path, fmt, run_id.replace("-", "_")
        self._is_checked, self._comment_of = is_checked, comment_of
        self._staged: _Staged | None = None

    def stage(self, df: DataFrame) -> Published:
        """Write the rows where no reader of the table sees them; returns how many there are.

        Raises PublishError where the table cannot be replaced in one commit.
        """
        with _translated(df.sparkSession, self._path):
            target = _target(df.sparkSession, self._path, self._fmt, self._comment_of)
            if target.has_branches(df):  # costs nothing, and tells a run that another one was faster
                staged: _Staged = _Branch(target, f"blitz_{self._run}")
            elif self._is_checked:
                staged = _StagingTable(target, self._run)
            else:
                staged = _Published(target)
            self._staged = staged  # what a write that fails has left is discarded, too
            return staged.write(df)

    def rows(self) -> DataFrame:
        """The staged rows, as ``commit`` publishes them. PublishError where nothing was staged."""
        return self._require_staged().rows()

    def commit(self) -> Published:
        """Make the staged rows the table, in one commit. Raises PublishError where another run was faster."""
        staged = self._require_staged()
        with _translated(staged.target.spark, self._path):
            return staged.commit()

    def discard(self) -> None:
        """Remove what was staged; an error is only logged, since readers do not see what stays."""
        if self._staged is None:
            return
        try:
            self._staged.discard()
        except Exception as error:  # the classes differ by catalog
            _log.warning("%s: could not remove what was staged: %s", self._path, str(error).splitlines()[0])

    def _require_staged(self) -> "_Staged":
        if self._staged is None:
            raise PublishError("nothing was staged, nothing was published", path=self._path)
        return self._staged


@contextmanager
def publishing_table(
    path: str, *, fmt: str, run_id: str, is_checked: bool, comment_of: CommentOf = no_comment
) -> Iterator[CatalogOutput]:
    """Publish a table of a catalog: ``stage``, check, ``commit``; a block that does not commit leaves the table.

    Args:
        path: ``table:catalog.schema.name``.
        fmt: ``run.format``; ``parquet`` leaves the format to the catalog.
        run_id: part of the name of the branch or the staging table.
        is_checked: whether the block does anything between ``stage`` and ``commit``; otherwise ``stage`` may
            commit, where that saves a second write.
        comment_of: the column comments of a new table, and of new columns.
    """
    output = CatalogOutput(path, fmt, run_id, is_checked, comment_of)
    try:
        yield output
    finally:
        output.discard()


@dataclass(frozen=True)
class _Target:
    """The table to be published, as it was when the rows were staged; ``before`` is None where there was none."""

    spark: SparkSession
    path: str
    format: CatalogFormat
    before: TableState | None
    version: str | None
    comment_of: CommentOf

    @property
    def name(self) -> TableName:
        return table_name(self.path)

    def has_branches(self, df: DataFrame) -> bool:
        """Whether the rows can be staged on a branch, which has the columns of the table."""
        if self.before is None or self.format is not ICEBERG or not ICEBERG.has_branches(self.spark):
            return False
        return self.format.fits(self.before, df)

    def replace(self, df: DataFrame) -> Published:
        """Make the rows the table, in one commit; columns that it has keep their comments."""
        target = self.name.sql
        comments = {name: text for name in df.columns if (text := self.comment_of(name))}
        if self.before is None:
            self.format.create(with_comments(df, comments), target)
        elif self.format.fits(self.before, df):
            self.format.overwrite(df, target)
        else:
            self.format.replace(with_comments(df, {**comments, **self.before.comments}), target)
        return self.format.published(self.spark, target, self.path)

    def is_unchanged(self) -> bool:
        """Whether nobody committed since the rows were staged."""
        return self.before is not None and self.format.version(self.spark, self.name.sql) == self.version

    def refuse_changes(self) -> None:
        """Raise PublishError where others changed rows since the rows were staged."""
        if self.before is not None:
            found = self.format.changes_after(self.spark, self.name.sql, self.version)
        else:
            found = ["CREATE"] if state_of(self.spark, self.path) else []
        if found:
            raise _conflict(self.path, f" ({', '.join(found)})")


class _Staged(Protocol):
    """Rows on their way to the table."""

    target: _Target

    def write(self, df: DataFrame) -> Published: ...
    def rows(self) -> DataFrame: ...
    def commit(self) -> Published: ...
    def discard(self) -> None: ...


@dataclass
class _Published:
    """Rows that nobody checks: written to the table itself."""

    target: _Target
    _published: Published | None = None

    def write(self, df: DataFrame) -> Published:
        self._published = self.target.replace(df)
        return self._published

    def rows(self) -> DataFrame:
        return self.target.spark.table(self.target.name.sql)

    def commit(self) -> Published:
        assert self._published is not None
        return self._published

    def discard(self) -> None:
        """There is nothing to remove."""


@dataclass
class _Branch:
    """Rows on a branch of an Iceberg table, which begins where main is."""

    target: _Target
    branch: str

    def write(self, df: DataFrame) -> Published:
        target = self.target
        target.spark.sql(f"ALTER TABLE {target.name.sql} CREATE BRANCH {self.branch} RETAIN 2 DAYS")
        target.format.overwrite(df, self._table)
        return target.format.published(target.spark, target.name.sql, target.path, self.branch)

    def rows(self) -> DataFrame:
        return self.target.spark.table(self._table)

    def commit(self) -> Published:
        target = self.target
        if not target.is_unchanged():  # by a compaction, which the branch does not have
            target.refuse_changes()
            return target.replace(self.rows())
        ICEBERG.fast_forward(target.spark, target.name, self.branch)
        return target.format.published(target.spark, target.name.sql, target.path)

    def discard(self) -> None:
        self.target.spark.sql(f"ALTER TABLE {self.target.name.sql} DROP BRANCH IF EXISTS {self.branch}")

    @property
    def _table(self) -> str:
        return f"{self.target.name.sql}.branch_{self.branch}"


@dataclass
class _StagingTable:
    """Rows in a table of this run, next to the target."""

    target: _Target
    run: str

    def write(self, df: DataFrame) -> Published:
        spark, table = self.target.spark, self._name.sql
        self._drop_old()
        self.target.format.create(df, table)
        return replace(self.target.format.published(spark, table, self.target.path), version=None)

    def rows(self) -> DataFrame:
        return self.target.spark.table(self._name.sql)

    def commit(self) -> Published:
        self.target.refuse_changes()
        return self.target.replace(self.rows())

    def discard(self) -> None:
        self.target.spark.sql(f"DROP TABLE IF EXISTS {self._name.sql}")

    def _drop_old(self) -> None:
        """Drop the tables that runs left which died more than two days ago."""
        for found, is_old in staging_tables(self.target.spark, self.target.name):
            if is_old:
                self.target.spark.sql(f"DROP TABLE IF EXISTS {found.sql}")

    @property
    def _name(self) -> TableName:
        return self.target.name.next_to(f"{self.target.name.table}{STAGING}{self.run}")


def staging_tables(spark: SparkSession, name: TableName) -> list[tuple[TableName, bool]]:
    """The staging tables of runs next to a table, and whether their run began more than two days ago.

    A table whose name does not go on with the id of a run is none.
    """
    stem = name.next_to(name.table + STAGING)
    begun = {found: _BEGUN.match(found[len(stem.table) :].upper()) for found in tables_like(spark, stem)}
    return [(name.next_to(found), _is_old(match[0])) for found, match in begun.items() if match]


def _is_old(begun: str) -> bool:
    return datetime.strptime(begun, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) < datetime.now(UTC) - _OLD


def _target(spark: SparkSession, path: str, fmt: str, comment_of: CommentOf) -> _Target:
    """The table as it is now. Raises PublishError where it cannot be replaced in one commit."""
    before, wanted = state_of(spark, path), None if fmt == "parquet" else fmt
    if before and before.kind == "VIEW":
        raise PublishError("is a view; an output must be a table", path=path)
    found = before.provider if before else wanted or own_format(spark, table_name(path))
    if found is None:
        raise PublishError(
            "a new table of this catalog would be of plain files, which cannot be replaced in one commit; set "
            "run.format to delta or iceberg",
            path=path,
        )
    if found not in FORMATS:
        raise PublishError(
            f"is a table of the format {found}, which cannot be replaced in one commit; drop or rename it, and set "
            "run.format to delta or iceberg",
            path=path,
        )
    if wanted not in (None, found):
        raise PublishError(f"run.format is {wanted}, but the table is {found}; change one of the two", path=path)
    version = FORMATS[found].version(spark, table_name(path).sql) if before else None
    return _Target(spark, path, FORMATS[found], before, version, comment_of)


@contextmanager
def _translated(spark: SparkSession, path: str) -> Iterator[None]:
    """Say in one line that another run was faster, or that catalog, schema or format are not there."""
    try:
        with translate_errors(spark, path), translate_delta_errors(path):
            yield
    except PublishError:
        raise
    except Exception as error:
        text = str(error)
        if "NoSuchIcebergTableException" in text:  # Iceberg's catalog shows no tables of other formats
            raise PublishError(
                "is no Iceberg table, and cannot be replaced in one commit; drop or rename it", path=path
            ) from error
        if _CONFLICT.search(text):
            raise _conflict(path, "") from error
        raise


def _conflict(path: str, detail: str) -> PublishError:
    return PublishError(
        f"another run has published here while this one computed{detail}; its rows stay. Run again, one run at a time",
        path=path,
    )
