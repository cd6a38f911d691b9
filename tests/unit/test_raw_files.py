"""What is checked of raw files before an engine reads them, and the small mappings, which pandas reads."""

import pytest

from blitz.errors import InputError
from blitz.raw.files import resolve
from blitz.raw.mappings import read_small
from blitz.raw.specs import Field, Kind, TableSpec

SPEC = TableSpec(
    "orders",
    (
        Field("id", Kind.ID, required=True),
        Field("at", Kind.INSTANT),
        Field("flag", Kind.FLAG),
        Field("amount", Kind.NUMBER),
        Field("note", Kind.TEXT),
        Field("other", Kind.AS_IS),
    ),
    time="at",
)
LINES = TableSpec(
    "lines",
    (
        Field("InvoiceNo", Kind.CODE, required=True),
        Field("At", Kind.LOCAL, required=True),
        Field("Qty", Kind.NUMBER),
        Field("Name", Kind.TEXT),
    ),
)


def test_everything_that_is_missing_is_listed_at_once(tmp_path):
    (tmp_path / "a.csv").write_text("InvoiceNo,At,qty,Name\n")
    (tmp_path / "b.csv").write_text("InvoiceNo,Qty\n")
    (tmp_path / "bad.parquet").write_text("not parquet")
    with pytest.raises(InputError) as caught:
        resolve(
            [
                (LINES, str(tmp_path / "*.csv")),
                (SPEC, str(tmp_path / "none")),
                (SPEC, str(tmp_path / "bad.parquet")),
            ]
        )
    message = str(caught.value)
    assert "'Qty' is missing (is it 'qty'?)" in message
    assert "b.csv" in message
    assert "'Name' is missing" in message
    assert "none" in message
    assert "bad.parquet" in message


CODES = TableSpec("codes", (Field("MDS ID", Kind.ID), Field("DSR Code", Kind.CODE)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffMDS ID,DSR Code\r\n1.0,2.0\r\n\r\n", [["1", "2"]]),
        ("MDS ID,DSR Code\n1,2,\n3,4,\n", [["1", "2"], ["3", "4"]]),  # not an index and a column
        ('\n\n DSR Code, note,MDS ID\n2,"a, ""b""", 1 \n4\n', [["1", "2"], [None, "4"]]),
    ],
    ids=["bom", "trailing comma", "order and quotes"],
)
def test_a_small_mapping_as_the_world_writes_it(tmp_path, text, expected):
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert read_small(resolve([(CODES, str(tmp_path / "a.csv"))])[0]).to_numpy().tolist() == expected


@pytest.mark.parametrize(
    "data",
    [
        b"MDS ID,DSR Code\n1,2\n3,4,5\n",
        b"MDS ID,DSR Code\n1,2,3\n4,5,6\n",
        b"MDS ID,DSR Code,x\n1,2,caf\xe9\n",
        b'MDS ID,DSR Code,x\n1,2,"open\n3,4,5\n',
    ],
    ids=["long line", "long lines", "latin-1", "open quote"],
)
def test_a_small_mapping_that_is_broken_is_named(tmp_path, data):
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"^{path}: cannot be read as CSV: .*; write it again, in UTF-8$"):
        read_small(resolve([(CODES, str(path))])[0])
