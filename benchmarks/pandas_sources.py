"""Raw files and mappings in pandas; see pandas_orders.py. Reads well-formed CSV and Parquet on a local disk."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.dataset as ds

STORES = {
    "store_type": "Store Type", "store_generator_new": "Generator New",
    "store_geographical_city": "Geographical City", "store_key_city": "Key City",
}  # fmt: skip


def parquet(path: str, columns: list[str]) -> pd.DataFrame:
    """The columns of a Parquet folder."""
    files = [str(each) for each in sorted(Path(path).rglob("*.parquet"))]
    return ds.dataset(files, format="parquet").to_table(columns=columns).to_pandas()


def csv(pattern: str, columns: list[str]) -> pd.DataFrame:
    """CSV as text, whatever the order of each file's columns; empty is null."""
    path = Path(pattern)
    files = sorted(path.parent.glob(path.name)) if "*" in pattern else [path]
    options = pacsv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()), include_columns=columns, strings_can_be_null=True,
        null_values=[""], quoted_strings_can_be_null=True,
    )  # fmt: skip
    parts = [pacsv.read_csv(file, convert_options=options) for file in files]
    return pa.concat_tables(parts).to_pandas()


def trimmed(text: pd.Series) -> pd.Series:
    """Text without blanks around it; nothing is null."""
    text = text.str.strip(" ")
    return text.mask(text == "")


def code(text: pd.Series) -> pd.Series:
    """Ids as canonical text: ``7040.0`` is ``7040``."""
    text = trimmed(text)
    dotted = text.str.contains(".", regex=False).eq(True)
    if dotted.any():
        text = text.copy()
        text[dotted] = text[dotted].str.replace(r"^([+-]?\d+)\.0*$", r"\1", regex=True)
    return text


def number(text: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Text as double, and where it holds something that is no number."""
    found = pd.to_numeric(text, errors="coerce")
    return found, found.isna() & text.notna()


def whole(text: pd.Series) -> pd.Series:
    """Ids as int64, exact at any size; null where the text is none."""
    text = code(text)
    text = text.where(text.str.fullmatch(r"-?\d{1,18}").eq(True), None)
    numbers = pa.array(text, pa.string(), from_pandas=True).cast(pa.int64())
    return numbers.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get).set_axis(text.index)


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Keys without nulls as numpy integers: they merge faster."""
    return rows.astype(dict.fromkeys(rows.select_dtypes("Int64"), "int64"))


def slug(name: str) -> str:
    """The name of a category in a column's name."""
    return re.sub(r"\W+", "_", name).strip("_").lower()


class Menu:
    """Categories by item key, and the columns that they give."""

    def __init__(self, common: dict[str, Any], key: str) -> None:
        base, dri = "Clubbed base product category", "Final Dri Category"
        rows = csv(common["categories_path"], ["item_id_id", "ProductCode", base, dri])
        rows = pd.DataFrame({name: trimmed(rows[name]) for name in rows}).rename(columns={base: "base", dri: "dri"})
        survive = rows[rows["dri"].notna() & (rows["base"] != "Exclude")]
        self.names = {
            kind: sorted(survive[kind].dropna().unique(), key=lambda name: name.encode()) for kind in ("dri", "base")
        }
        rows["key"] = code(rows[key]) if key == "ProductCode" else whole(rows[key])
        rows = rows[rows["key"].notna()].sort_values(["key", "dri", "base"], na_position="last")
        self.items = _plain(rows.drop_duplicates("key")[["key", "base", "dri"]])

    def columns(self, kind: str) -> dict[str, list[str]]:
        """Column name to category names."""
        prefix = "dri_categ_" if kind == "dri" else "categ_base_product_"
        found: dict[str, list[str]] = {}
        for name in self.names[kind]:
            found.setdefault(prefix + slug(name), []).append(name)
        return found


def stores(common: dict[str, Any]) -> pd.DataFrame:
    """Store columns by ``Store Code``, one row per code."""
    rows = csv(common["store_master_path"], ["Store Code", *STORES.values()])
    rows = pd.DataFrame({name: trimmed(rows[name]) for name in rows})
    rows["Store Code"] = code(rows["Store Code"])
    rows = rows.rename(columns={old: new for new, old in STORES.items()})
    return rows.sort_values(["Store Code", *STORES]).drop_duplicates("Store Code").dropna(subset=["Store Code"])


def mds_to_store(common: dict[str, Any]) -> pd.DataFrame:
    """``Store Code`` by ``mds``, one row per id."""
    rows = csv(common["store_mds_dsr_path"], ["MDS ID", "DSR Code"])
    rows = pd.DataFrame({"mds": whole(rows["MDS ID"]), "Store Code": code(rows["DSR Code"])}).dropna()
    return _plain(rows.sort_values(["mds", "Store Code"]).drop_duplicates("mds"))


def customers(common: dict[str, Any], is_instore: bool) -> pd.DataFrame:
    """``algonomy_id`` by order ``key``, in-store by ``invoice``, ``store`` and ``day``; the smallest of several."""
    rows = csv(common["mapping_file"], ["customer_code_ty", "invoice_no", "invoice_date", "store_code"])
    who = trimmed(rows["customer_code_ty"])
    if is_instore:
        day = pd.to_datetime(trimmed(rows["invoice_date"]).str[:10], format="%Y-%m-%d", errors="coerce")
        keys = {"invoice": code(rows["invoice_no"]), "store": code(rows["store_code"]), "day": day}
    else:
        keys = {"key": whole(rows["invoice_no"])}
    found = _plain(pd.DataFrame({**keys, "algonomy_id": who}).dropna())
    # groupby.min of text calls Python once a group: sort the few keys that repeat instead.
    repeated = found.duplicated(list(keys), keep=False)
    smallest = found[repeated].sort_values("algonomy_id").drop_duplicates(list(keys))
    return pd.concat([found[~repeated], smallest], ignore_index=True)


def utc(values: pd.Series) -> pd.Series:
    """Times as UTC instants; a time without a zone is UTC."""
    return pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601" if values.dtype == object else None)


def local_time(values: pd.Series) -> pd.Series:
    """Text as wall-clock times; null where it is none."""
    return pd.to_datetime(trimmed(values), errors="coerce", format="ISO8601")


def choices(common: dict[str, Any], header: str, choice: str, numeric: bool) -> pd.DataFrame:
    """The most pieces that a ``header`` lets go of a ``choice`` item, ``allowed``."""
    rows = csv(common["clear_master_path"], [header, choice, "Qty"])
    keys = [whole(rows[name]) if numeric else code(rows[name]) for name in (header, choice)]
    found = pd.DataFrame({"header": keys[0], "choice": keys[1], "allowed": number(trimmed(rows["Qty"]))[0]})
    return _plain(found.dropna()).groupby(["header", "choice"], as_index=False)["allowed"].max()
