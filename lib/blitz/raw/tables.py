"""What is known of a raw table before any job starts: its files, grouped by schema, and how they are read."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from blitz import storage
from blitz.raw.specs import TableSpec


@dataclass(frozen=True)
class RawColumn:
    """A column of a file: its name in the spec, physical type, Spark DDL type to read it with, place in a CSV line.

    ``source`` is its name in the file where that differs in letter case or outer blanks; ``constant`` the value that
    the file's folder gives it (``platform=android/``), where it is in no file. ``is_dictionary``: a Parquet column of
    categories, as pandas and Arrow write them.
    """

    name: str
    physical: str
    ddl: str = "string"
    position: int | None = None
    source: str | None = None
    constant: str | None = None
    is_dictionary: bool = False

    @property
    def cell(self) -> str:
        """The column's name in the DataFrame that reads it; CSV columns go by place, whatever the header says."""
        return (self.source or self.name) if self.position is None else f"c{self.position}"

    @property
    def is_stored(self) -> bool:
        """Whether the files have values of the column: neither its folder gives it, nor is it without a type."""
        return self.physical != "null" and self.constant is None


@dataclass(frozen=True)
class FileGroup:
    """Files of one table that can be read with one schema, or a table of a catalog (``format`` is ``table``).

    Of CSV files, ``width`` is the number of columns in the header, ``separator`` is between them, and ``multi_line``
    says that a record may go on in the next line inside quotes.
    """

    format: str
    columns: tuple[RawColumn, ...]
    width: int
    paths: tuple[str, ...] = ()
    separator: str = ","
    multi_line: bool = False


@dataclass(frozen=True)
class ReadOptions:
    """How the config says that a table is written (docs/contract.md, section 9).

    ``time_format`` is a Spark pattern for times that are not ISO, and ``time_key`` the config key that sets it;
    ``multi_line``: records may go on in the next line inside quotes. ``day_starts``: minutes after midnight at which
    the business day of a time in the customer mapping starts; a date alone is a business day.
    """

    time_format: str | None = None
    time_key: str | None = None
    multi_line: bool = False
    day_starts: int = 0


PLAIN = ReadOptions()


@dataclass(frozen=True)
class RawTable:
    """A raw table that is ready to be read: ``path`` as configured, its files grouped by schema."""

    spec: TableSpec
    path: str
    groups: tuple[FileGroup, ...]
    files: tuple[storage.FileInfo, ...] = field(repr=False, default=())
    options: ReadOptions = PLAIN

    @property
    def is_csv(self) -> bool:
        """Whether any of its files is CSV."""
        return any(group.format == "csv" for group in self.groups)

    @property
    def is_unchecked(self) -> bool:
        """Whether it is a table of a catalog that no session has looked at."""
        return storage.is_table(self.path) and not self.groups

    def only(self, paths: Collection[str]) -> "RawTable":
        """Some files of the table, to be read with the types of all."""
        groups = tuple(replace(g, paths=tuple(path for path in g.paths if path in paths)) for g in self.groups)
        return replace(self, groups=groups, files=tuple(info for info in self.files if info.path in paths))


def grouped(groups: Iterable[FileGroup]) -> tuple[FileGroup, ...]:
    """The groups, those that can be read with one schema as one."""
    paths: dict[FileGroup, list[str]] = {}
    for group in groups:
        paths.setdefault(replace(group, paths=()), []).extend(group.paths)
    return tuple(replace(shape, paths=tuple(found)) for shape, found in paths.items())
