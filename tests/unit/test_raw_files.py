"""Folders and files as other tools leave them: read right, or refused by name, with every problem listed at once."""

import gzip
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blitz.errors import InputError
from blitz.raw.files import Source, resolve
from blitz.raw.small_files import read_small
from blitz.raw.specs import CATEGORIES, ORDER_QUERIES, Field, Kind, TableSpec

CODES = TableSpec("codes", (Field("MDS ID", Kind.ID), Field("DSR Code", Kind.CODE)))


def queries(path, ids=(1, 2)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"order_id": list(ids)}), path)


def refusal(*tables, **options):
    with pytest.raises(InputError) as caught:
        resolve([(spec, str(path)) for spec, path in tables], **options)
    return str(caught.value)


def small(tmp_path, data, name="a.csv", spec=CODES):
    (tmp_path / name).write_bytes(data)
    [table] = resolve([Source(spec, str(tmp_path / name), is_small=True)])
    return read_small(table).to_numpy().tolist()


@pytest.mark.parametrize(
    ("marker", "what"),
    [
        ("_delta_log/00000000000000000000.json", "Delta"),
        (".hoodie/hoodie.properties", "Hudi"),
        ("metadata/v1.metadata.json", "Iceberg"),
    ],
)
@pytest.mark.parametrize("given", ["orders", "orders/*.parquet", "."])
def test_a_table_that_only_its_log_can_read_is_refused_by_name(tmp_path, marker, what, given):
    queries(tmp_path / "orders/a.parquet")
    (tmp_path / "orders" / marker).parent.mkdir(parents=True)
    (tmp_path / "orders" / marker).write_text("{}")
    message = refusal((ORDER_QUERIES, tmp_path / given))
    assert f"{tmp_path}/orders is a{'n' * (what == 'Iceberg')} {what} table" in message
    assert "count rows twice" in message


def test_an_iceberg_table_by_its_data_folder(tmp_path):
    queries(tmp_path / "orders/data/a.parquet")
    (tmp_path / "orders/metadata").mkdir()
    (tmp_path / "orders/metadata/v1.metadata.json").write_text("{}")
    assert "is an Iceberg table" in refusal((ORDER_QUERIES, tmp_path / "orders/data"))


def test_files_with_equal_content_are_refused_by_name(tmp_path):
    queries(tmp_path / "a.parquet")
    queries(tmp_path / "b (1).parquet")
    queries(tmp_path / "c.parquet", [3, 4])
    message = refusal((ORDER_QUERIES, tmp_path))
    assert f"{tmp_path}/b (1).parquet (order queries): has the same content as {tmp_path}/a.parquet" in message
    assert "run.allow_repeated_files" in message and "c.parquet" not in message
    [table] = resolve([(ORDER_QUERIES, str(tmp_path))], allow_repeated_files=True)
    assert len(table.files) == 3


@pytest.mark.parametrize("text", ["", "\n", "order_id\n", "order_id\r\n\r\n", "\ufefforder_id\n,\n"])
def test_files_without_rows_are_empty_and_no_repetition(tmp_path, text):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(text)
    queries(tmp_path / "c.parquet")
    queries(tmp_path / "d.parquet", [])
    queries(tmp_path / "e.parquet", [])
    [table] = resolve([(ORDER_QUERIES, str(tmp_path))])
    assert {path for group in table.groups for path in group.paths} >= {str(tmp_path / "c.parquet")}


def test_every_damaged_file_is_named_with_all_other_problems(tmp_path):
    queries(tmp_path / "good.parquet")
    data = (tmp_path / "good.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(data[:-20])
    (tmp_path / "text.parquet").write_text("order_id\n1\n")
    (tmp_path / "broken.csv.gz").write_bytes(gzip.compress(b"order_id\n1\n", mtime=0)[5:])
    (tmp_path / "latin.csv").write_bytes(b"order_id,caf\xe9\n1,2\n")
    (tmp_path / "wide.csv").write_bytes("order_id\n1\n".encode("utf-16"))
    (tmp_path / "nobom.csv").write_bytes("order_id\n1\n".encode("utf-16-le"))
    (tmp_path / "other.csv").write_text("orderid\n1\n")
    message = refusal((ORDER_QUERIES, tmp_path), (CODES, tmp_path / "none.csv"))
    for name in ("cut.parquet", "text.parquet", "broken.csv.gz", "latin.csv", "wide.csv", "nobom.csv", "none.csv"):
        assert f"{tmp_path}/{name}" in message
    assert "good.parquet" not in message
    assert "it is UTF-16; save it as UTF-8" in message and "byte 12 is not UTF-8" in message
    assert "UTF-16 without a byte order mark" in message
    assert "column 'order_id' is missing (is it 'orderid'?)" in message


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"PK\x03\x04\x14\x00", "cannot be read as CSV: it is an Excel workbook or a ZIP archive; export it as CSV"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1", "it is an Excel workbook; export it as CSV"),
        ("a.csv", b"PAR1\x15\x04", "it is a Parquet file; let its name end with .parquet"),
        ("a.csv", gzip.compress(b"order_id\n1\n", mtime=0), "it is compressed; let its name end with .csv.gz"),
        ("a.csv.gz", b"order_id\n1\n", "its name ends with .gz, but it is not compressed: rename it"),
        ("a.csv.gz", gzip.compress(b"order_id\n1\n", mtime=0)[:-9], "the compressed data is cut off; copy the file again"),
        ("a.parquet", b"order_id\n1\n", "cannot be read as Parquet: .*; copy the file again"),
    ],
)  # fmt: skip
def test_a_file_of_another_format_is_called_that(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    assert re.search(f"{tmp_path}/{name}: .*{message}", refusal((ORDER_QUERIES, tmp_path)))


def test_times_where_numbers_belong(tmp_path):
    times = pa.array([1], pa.timestamp("ns"))
    pq.write_table(pa.table({"order_id": times}), tmp_path / "a.parquet")
    assert "column 'order_id' is timestamp, which cannot be read as" in refusal((ORDER_QUERIES, tmp_path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MDS ID,DSR Code\n1.0,'0042\n", [["1", "0042"]]),
        ("mds id;DSR CODE \n1;=\"0042\"\n;;\nmds id;dsr code\n002;7.0\n", [["1", "0042"], ["2", "7"]]),
        ("\n,\nMDS ID\tDSR Code\n1\tNULL\n", [["1", None]]),
        ("MDS ID|DSR Code|Name\n1|2|\"a\nb\"\n", [["1", "2"]]),
        ("MDS ID,DSR Code\n1.2345678E7,1.5E1\n", [["12345678", "15"]]),
        ("MDS ID,DSR Code\n\u00a01\u200b,\u30002\n", [["1", "2"]]),
    ],
    ids=["armour", "semicolons and case", "tabs and empty lines", "bars and a multi-line name", "exponents", "blanks"],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_small_file_as_spreadsheets_write_it(tmp_path, text, expected, encoding):
    assert small(tmp_path, text.encode(encoding)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MDS ID,DSR Code\n1,2\n3,4,5\n", "line 3 has 3 values, but the header has 2 columns; quote"),
        ('MDS ID,DSR Code\n1,2\n3,"4\n5,6\n7,"8"\n', "line 3, column 'DSR Code': a quote is not closed"),
        ('MDS ID,DSR Code,Name\n1,2,x\n3,4,"open\n', "line 3: a quote is not closed"),
        ('MDS ID,DSR Code,Name\n1,2,"Main\n3,4,Side\n5,6,"x"\n', "line 2, column 'Name': a quote is not closed"),
        ('MDS ID,Name,DSR Code\n1,x,"a\nb"\n', "line 2, column 'DSR Code': a line break inside quotes"),
        (
            "MDS ID,DSR Code\n1,2\n3,9.19812E+11\n",
            r"line 3, column 'DSR Code': digits were lost \(it looks like 9.99999a\+99\)",
        ),
    ],
)
def test_a_small_file_that_lost_something_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(InputError, match=f"a.csv.*{message}"):
        small(tmp_path, text.encode())


def test_a_lost_quote_in_the_categories_names_file_and_line(tmp_path):
    text = (
        "item_id_id,ProductCode,Clubbed base product category,Final Dri Category\n501,P1,McVeggie,Burgers\n"
        '502,P2,"Fries,Sides\n503,P3,Coke,Drinks\n504,P4,"12"" Wrap",Wraps\n505,P5,Coffee,Cafe\n'
    )
    with pytest.raises(InputError, match=r"a\.csv.*line 3, column 'Clubbed base product category'"):
        small(tmp_path, text.encode(), spec=CATEGORIES)


def test_a_small_parquet_file_goes_through_the_same_rules(tmp_path):
    table = pa.table({"MDS ID": [1.0, None, 12.5], "dsr code": pa.array(["'0042", "nan", " 7.0 "], pa.large_string())})
    pq.write_table(table, tmp_path / "a.parquet")
    [found] = resolve([Source(CODES, str(tmp_path / "a.parquet"), is_small=True)])
    assert read_small(found).to_numpy().tolist() == [["1", "0042"], [None, None], [None, "7"]]


def test_names_of_files_are_no_pattern(tmp_path):
    queries(tmp_path / "a=b [1].parquet")
    assert json.dumps(resolve([(ORDER_QUERIES, str(tmp_path))])[0].groups[0].paths).count("[1]") == 1


def test_a_compressed_file_of_several_members_is_one_text(tmp_path):
    for name in ("a.csv.gz", "b.csv.gz"):
        members = (b"ord", b"er_id\n", b"1\n2\n")
        (tmp_path / name).write_bytes(b"".join(gzip.compress(each, mtime=0) for each in members))
    assert "has the same content as" in refusal((ORDER_QUERIES, tmp_path))
    (tmp_path / "b.csv.gz").unlink()
    [table] = resolve([(ORDER_QUERIES, str(tmp_path))])
    assert [column.name for column in table.groups[0].columns] == ["order_id"]
