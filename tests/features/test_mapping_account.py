"""The customer mapping's account: which rows can give an order a customer, on both engines (docs/contract.md, section 8)."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from blitz.accounts import RowMetrics
from blitz.raw.customer_mapping import MAPPING, mapping_account, observe_mapping, with_mapping_reason
from blitz.raw.files import resolve
from blitz.raw.specs import CUSTOMER_MAPPING
from blitz.raw.typed_rows import read_table

pytestmark = pytest.mark.engines
NAMES = ("customer_code_ty", "address", "invoice_no", "invoice_date", "store_code")
ROWS = [  # the cells of a row, and what becomes of it
    ("0000000007,MG Road,1,,", "kept"),
    ("0000000007,,900,2025-06-01,7040", "kept"),
    ("0000000007,,A900,2025-06-01,7040", "kept"),
    ("0000000007,MG Road, 12,1,,", "bad_record"),  # a comma without quotes: the 12 is in the place of the invoice
    ("0000000007,,900,01/06/2025,7040", "bad_record"),
    ("9.19812E+11,,1,,", "bad_record"),
    ("0000000007,,9.1E+11,2025-06-01,7040", "bad_record"),
    ("NULL,,1,,", "no_customer_code"),
    (",Hill Road,900,2025-06-01,7040", "no_customer_code"),
    ("\u200b,,1,,", "no_customer_code"),
    ("0000000007,,,2025-06-01,7040", "no_key"),
    ("0000000007,,#N/A,2025-06-01,7040", "no_key"),
    ("0000000007,,A900,,7040", "no_key"),  # the id of no order, and no bill
    ("0000000007,,A900,2025-06-01,nan", "no_key"),
    (",,,,", None),  # an empty line
]
EXPECTED = {"kept": 3, "bad_record": 4, "no_customer_code": 3, "no_key": 4}


def written(folder: Path, kind: str) -> None:
    """The rows as CSV, or as Parquet text where a row has no value too many."""
    if kind == "csv":
        (folder / "m.csv").write_text("\n".join([",".join(NAMES), *(row for row, _ in ROWS), ""]), encoding="utf-8")
        return
    cells = [row.split(",") for row, fate in ROWS if fate and row.count(",") < len(NAMES)]
    pq.write_table(pa.table({name: [row[at] for row in cells] for at, name in enumerate(NAMES)}), folder / "m.parquet")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_row_is_kept_or_has_its_reason(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    written(tmp_path, kind)
    [table] = resolve([(CUSTOMER_MAPPING, str(tmp_path))])
    rows = with_mapping_reason(read_table(spark, table, "Asia/Kolkata"))
    metrics = RowMetrics()
    kept = observe_mapping(rows, metrics).where("reject_reason is null").toPandas()
    account = mapping_account(metrics.counts(MAPPING))
    expected = EXPECTED if kind == "csv" else EXPECTED | {"bad_record": 3}
    assert {"kept": account.kept, **account.dropped} == expected
    assert account.read == sum(expected.values()) and account.adds_up
    assert set(kept["customer_code_ty"]) == {"0000000007"}
    assert sorted(kept["invoice_no"]) == ["1", "900", "A900"]
