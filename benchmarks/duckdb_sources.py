"""Raw files and small mappings for the DuckDB pipeline: SQL that reads each file once, typed, bad rows left out."""

import csv
import glob
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd

DEFAULT_BINS = [0, 35, 100, 175, 250, 325, 400, 600, 100000]
DEFAULT_LABELS = ["Add_ons", "Economy", "Value", "Mid_Tier", "Premium", "Indulgence", "Ultimate", "Group"]
STORE_COLUMNS = {
    "store_type": "Store Type",
    "store_generator_new": "Generator New",
    "store_geographical_city": "Geographical City",
    "store_key_city": "Key City",
}
BITS = 62  # categories held by one BIGINT mask
IDS = ("item_id_id", "MDS ID", "header_item_id_id", "choice_item_id_id")
_BASE, _DRI = "Clubbed base product category", "Final Dri Category"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def months_before(day: date, months: int) -> date:
    earlier: pd.Timestamp = pd.Timestamp(day) - pd.DateOffset(months=months)
    return date(earlier.year, earlier.month, earlier.day)


class Clock:
    """Local time in SQL: a plain interval where the zone keeps one offset over the window, else the zone data."""

    def __init__(self, zone: str, start: date, end: date) -> None:
        days = [datetime(start.year, start.month, start.day) + timedelta(days=n) for n in range((end - start).days + 3)]
        offsets = {(day - timedelta(days=2)).replace(tzinfo=ZoneInfo(zone)).utcoffset() for day in days}
        self.zone = zone
        self.offset = offsets.pop() if len(offsets) == 1 else None

    def local(self, utc: str) -> str:
        if self.offset is None:
            return f"(({utc}) AT TIME ZONE 'UTC' AT TIME ZONE {literal(self.zone)})"
        return f"(({utc}) + INTERVAL {int(self.offset.total_seconds())} SECOND)"

    def utc(self, local: str) -> str:
        if self.offset is None:
            return f"(({local}) AT TIME ZONE {literal(self.zone)})"
        return f"(({local}) - INTERVAL {int(self.offset.total_seconds())} SECOND)::TIMESTAMPTZ"


def parquet_scan(con: duckdb.DuckDBPyConnection, folder: str) -> tuple[str, dict[str, str]]:
    """A scan of all Parquet files under a folder, and its columns' types."""
    files = sorted(str(path) for path in Path(folder).rglob("*.parquet"))
    scan = f"read_parquet([{', '.join(map(literal, files))}], union_by_name=true)"
    return scan, {row[0]: row[1] for row in con.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()}


def csv_scan(pattern: str, columns: list[str]) -> str:
    """A scan of CSV files as text, each by its own header; lines with too many fields give ``is_long``.

    Declared columns: nothing is sniffed, and short lines are padded with nulls.
    """
    layouts: dict[tuple[str, ...], list[str]] = {}
    for path in sorted(glob.glob(pattern)):
        with open(path, encoding="utf-8-sig", newline="") as file:
            layouts.setdefault(tuple(name.strip() for name in next(csv.reader(file))), []).append(path)
    parts = []
    for header, files in layouts.items():
        declared = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in (*header, "_extra"))
        parts.append(
            f"SELECT {', '.join(map(quoted, columns))}, _extra IS NOT NULL AS is_long FROM read_csv("
            f"[{', '.join(map(literal, files))}], columns={{{declared}}}, auto_detect=false, header=true, delim=',', "
            "quote='\"', escape='\"', null_padding=true, ignore_errors=true)"
        )
    return f"({' UNION ALL '.join(parts)})"


def text(cell: str) -> str:
    return f"nullif(trim({cell}), '')"


def code(cell: str) -> str:
    """Canonical text of an id: ``7040.0`` is ``7040``; the expression is only paid where there is a dot."""
    return (
        f"CASE WHEN contains({cell}, '.') THEN regexp_replace({text(cell)}, '^([+-]?\\d+)\\.0*$', '\\1') "
        f"ELSE {text(cell)} END"
    )


def number(cell: str, kind: str) -> str:
    """Double; NaN is null."""
    if kind in ("VARCHAR", "DOUBLE", "FLOAT"):
        return f"nullif(try_cast({cell} AS DOUBLE), 'nan'::DOUBLE)"
    return f"{cell}::DOUBLE"


def is_bad_number(cell: str) -> str:
    """Whether a text is there and yet no number."""
    present = f"{text(cell)} IS NOT NULL AND lower(trim({cell})) NOT IN ('nan', 'null', 'none')"
    return f"(try_cast({cell} AS DOUBLE) IS NULL AND {present})"


def whole(cell: str) -> str:
    """Ids as BIGINT; null where there is no whole number: a cast would round ``1.7`` to 2."""
    return (
        f"CASE WHEN try_cast({cell} AS DOUBLE) = floor(try_cast({cell} AS DOUBLE)) THEN try_cast({cell} AS BIGINT) END"
    )


def is_bad_id(cell: str) -> str:
    """Whether a text is there and yet no id."""
    return f"({is_bad_number(cell)} OR (try_cast({cell} AS DOUBLE) IS NOT NULL AND {whole(cell)} IS NULL))"


def flag(cell: str, kind: str) -> str:
    """0/1 as TINYINT, or null."""
    if kind == "VARCHAR":
        return f"try_cast(replace(lower(trim({cell})), '.0', '') AS BOOLEAN)::TINYINT"
    return f"{number(cell, kind)}::BOOLEAN::TINYINT" if kind in ("DOUBLE", "FLOAT") else f"{cell}::BOOLEAN::TINYINT"


def instant(cell: str, kind: str) -> str:
    """The UTC wall-clock TIMESTAMP of an instant (cheaper to add to and to compare than one with a zone)."""
    if kind == "VARCHAR":
        return f"make_timestamp(epoch_us(try_cast({text(cell)} AS TIMESTAMPTZ)))"
    if "TZ" in kind or "TIME ZONE" in kind:
        return f"make_timestamp(epoch_us({cell}::TIMESTAMPTZ))"
    return f"{cell}::TIMESTAMP"


def wall_clock(cell: str, clock: Clock) -> str:
    """Local time of a text: as it stands, or converted where it names a zone (only looked at where it is long)."""
    zoned = f"length({cell}) > 19 AND regexp_matches({cell}, '^.{{16}}.*([A-Za-z]|[+-]\\d{{2}}(:?\\d{{2}})?)\\s*$')"
    shifted = clock.local(f"make_timestamp(epoch_us(try_cast({cell} AS TIMESTAMPTZ)))")
    return f"CASE WHEN {zoned} THEN {shifted} ELSE try_cast({cell} AS TIMESTAMP) END"


def carried(cell: str, kind: str) -> str:
    """A column that goes through as it is."""
    if kind == "VARCHAR":
        return text(cell)
    return f"nullif({cell}, 'nan'::{kind})" if kind in ("DOUBLE", "FLOAT") else cell


def small_csv(path: str, columns: dict[str, bool]) -> pd.DataFrame:
    """A small mapping as trimmed text, empty as None; ``columns`` says which are codes."""
    rows = pd.read_csv(path, dtype=str, encoding="utf-8-sig", keep_default_na=False).rename(columns=str.strip)
    for name, is_code in columns.items():
        cells = rows[name].str.strip()
        cells = cells.str.replace(r"^([+-]?\d+)\.0*$", r"\1", regex=True) if is_code else cells
        if name in IDS:  # one id, one text
            cells = cells.str.replace(r"^\+?0*(?=\d)", "", regex=True).where(cells.str.fullmatch(r"[+-]?\d{1,19}"), "")
        rows[name] = cells.mask(cells == "", None)
    return rows[list(columns)]


def first_per_key(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    rest = [name for name in rows if name != key]
    return rows[rows[key].notna()].sort_values([key, *rest], na_position="last").drop_duplicates(key)


class Menu:
    """The categories that a kept line can have: names sorted per kind, and the masks that hold them as bits."""

    def __init__(self, path: str) -> None:
        self.rows = small_csv(path, {"item_id_id": True, "ProductCode": True, _DRI: False, _BASE: False})
        kept = self.rows[self.rows[_DRI].notna() & (self.rows[_BASE] != "Exclude")]
        self.names = {kind: sorted(kept[column].dropna().unique()) for kind, column in (("dri", _DRI), ("base", _BASE))}
        self.masks = {
            kind: [f"{kind}_{at}" for at in range(max(1, -(-len(names) // BITS)))] for kind, names in self.names.items()
        }

    @property
    def all_masks(self) -> list[str]:
        return self.masks["dri"] + self.masks["base"]

    def columns(self, kind: str) -> dict[str, list[int]]:
        """Places of the names behind each category column; names that make one slug share a column."""
        found: dict[str, list[int]] = {}
        for at, name in enumerate(self.names[kind]):
            slug = re.sub(r"\W+", "_", name).strip("_").lower()
            found.setdefault(("dri_categ_" if kind == "dri" else "categ_base_product_") + slug, []).append(at)
        return found

    def has(self, kind: str, places: list[int], prefix: str = "") -> str:
        """Whether any of these categories is in the masks, as SQL boolean."""
        wanted: dict[int, int] = {}
        for at in places:
            wanted[at // BITS] = wanted.get(at // BITS, 0) | 1 << (at % BITS)
        return "(" + " OR ".join(f"{prefix}{kind}_{at} & {bits} <> 0" for at, bits in wanted.items()) + ")"

    def items(self, key: str) -> pd.DataFrame:
        """``item`` (text) and its masks, for the items that survive; the others have no row."""
        rows = first_per_key(self.rows[[key, _DRI, _BASE]], key)
        rows = rows[rows[_DRI].notna() & (rows[_BASE] != "Exclude")]
        table: dict[str, Any] = {"item": rows[key]}
        for kind, column in (("dri", _DRI), ("base", _BASE)):
            place = {name: at for at, name in enumerate(self.names[kind])}
            places = [place.get(name, -1) for name in rows[column]]
            for at, mask in enumerate(self.masks[kind]):
                table[mask] = [1 << (p % BITS) if p >= 0 and p // BITS == at else 0 for p in places]
        return pd.DataFrame(table)


def choices(path: str, header: str, choice: str) -> pd.DataFrame:
    """``header``, ``choice`` (text), ``allowed``: the most pieces of the choice that the header carries away."""
    rows = small_csv(path, {header: True, choice: True, "Qty": False})
    rows = rows.assign(allowed=pd.to_numeric(rows["Qty"], errors="coerce")).dropna()
    most = rows.groupby([header, choice], as_index=False)["allowed"].max()
    return most.rename(columns={header: "header", choice: "choice"})


def stores(common: dict[str, Any], by_mds: bool) -> pd.DataFrame:
    """``store`` (text: MDS ID or Store Code) and the four store columns."""
    names = {"Store Code": True, **dict.fromkeys(STORE_COLUMNS.values(), False)}
    rows = first_per_key(small_csv(common["store_master_path"], names), "Store Code")
    if by_mds:
        codes = first_per_key(small_csv(common["store_mds_dsr_path"], {"MDS ID": True, "DSR Code": True}), "MDS ID")
        rows = codes.merge(rows, left_on="DSR Code", right_on="Store Code")
    rows = rows.rename(columns={"MDS ID" if by_mds else "Store Code": "store"})
    return rows.rename(columns={old: new for new, old in STORE_COLUMNS.items()})[["store", *STORE_COLUMNS]]
