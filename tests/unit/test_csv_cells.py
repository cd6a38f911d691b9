"""CSV lines to cells. The expected cells are those of Spark 4.0's own reader for the same lines (2026-11-26)."""

import gzip
import io

import pytest

from blitz.raw import csv_cells

AS_SPARK_READS_THEM = {
    '1,"x,3': ("1", "x,3", None, None),
    '2,"x,y",z': ("2", "x,y", "z", None),
    '3,"ab"cd,e': ("3", '"ab"cd', "e", None),
    '4, "q" ,r': ("4", "q", "r", None),
    '5," q ",r': ("5", " q ", "r", None),
    '6,a"b,c': ("6", 'a"b', "c", None),
    '7,"a""b",c': ("7", 'a"b', "c", None),
    '8,"",c': ("8", None, "c", None),
    '9,"a"b","c",d': ("9", '"a"b"', "c", "d"),
    '10,"a\\"b",c': ("10", '"a\\"b"', "c", None),
    "11,\tx\t,c": ("11", "x", "c", None),
    '12,a,"b': ("12", "a", "b", None),
    '"13",x,y,': ("13", "x", "y", None),
    '15,"x" y,z': ("15", '"x" y', "z", None),
    "16,\u00a0x,z": ("16", "\u00a0x", "z", None),
    '17,"x"': ("17", "x", None, None),
    '18,"x"","y",z': ("18", '"x","y"', "z", None),
    '"': ('"', None, None, None),
    '""': (None, None, None, None),
    '19,"a" "b",c': ("19", '"a" "b"', "c", None),
    '21,,"': ("21", None, '"', None),
    '24,"q", r \t': ("24", "q", "r", None),
    '25," q ",  ': ("25", " q ", None, None),
    "22,short": ("22", "short", None, None),
    "23,a,b,long": ("23", "a", "b", "long"),
}


def read(
    data: bytes, width: int = 3, ranges: list[tuple[int, int | None]] | None = None
) -> list[tuple[str | None, ...]]:
    rows = []
    for start, end in ranges or [(0, None)]:
        chunks = csv_cells.line_chunks(io.BytesIO(data), start, end)
        for batch in csv_cells.batches(chunks if start else csv_cells.without_header(chunks), width):
            rows += [tuple(row.values()) for row in batch.to_pylist()]
    return sorted(rows, key=str)


def of_spark() -> list[tuple[str | None, ...]]:
    return sorted(AS_SPARK_READS_THEM.values(), key=str)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("chunk", [1, 7, 40, 1 << 20])
def test_lines_are_read_as_spark_reads_them(end: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_cells, "CHUNK", chunk)
    text = end.join(["", "  ", "a,b,c", *AS_SPARK_READS_THEM, "", " \t "])
    assert [row[:4] for row in read(text.encode())] == of_spark()


@pytest.mark.parametrize("size", [1, 5, 13, 64])
def test_adjacent_ranges_give_each_line_once(size: int) -> None:
    data = "\n".join(["a,b,c", *AS_SPARK_READS_THEM]).encode()
    ranges: list[tuple[int, int | None]] = [(start, start + size) for start in range(0, len(data), size)]
    assert [row[:4] for row in read(data, ranges=ranges)] == of_spark()


def test_values_after_the_last_column() -> None:
    assert read(b"a,b\n1,2,,4,5,6,7\n", width=2) == [("1", "2", None, "4", "5", "6")]


def test_one_column() -> None:
    assert [row[0] for row in read(b'a\n1\n\n  \n"2,x"\n', width=1)] == ["1", "2,x"]


@pytest.mark.parametrize("line", [b"\xfc,2", b'"\xfc",2', b'x,2"\xfc', b'"a\xfc" ,2'])
def test_text_that_is_not_utf8_is_refused(line: bytes) -> None:
    start = "\ufeffa,b\nü,1\n".encode()
    assert read(start, width=2)[0][:2] == ("ü", "1")
    with pytest.raises(UnicodeDecodeError):
        read(start + line + b"\n", width=2)


def test_a_gzip_file_of_several_members() -> None:
    data = gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n")
    rows = list(
        csv_cells.batches(
            csv_cells.without_header(csv_cells.line_chunks(csv_cells.unzipped(io.BytesIO(data)), 0, None)), 2
        )
    )
    assert [row["c0"] for batch in rows for row in batch.to_pylist()] == ["1", "3"]


@pytest.mark.parametrize("data", [b"", b"a,b", b"a,b\n", b"\n\n"])
def test_a_file_without_rows(data: bytes) -> None:
    assert read(data, width=2) == []


def test_a_chunk_whose_lines_are_all_regular() -> None:
    lines = ["a,b,c", '"1","x, y"," z "', '"2","say ""hi""",""', "3,x,", "", '"4","short"', '"5",a,b,"long"']
    assert [row[:4] for row in read("\n".join(lines).encode())] == [
        ("1", "x, y", " z ", None),
        ("2", 'say "hi"', None, None),
        ("3", "x", None, None),
        ("4", "short", None, None),
        ("5", "a", "b", "long"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quote_ends_with_its_line_among_regular_lines(end: str) -> None:
    lines = ["a,b", '"1","x"', '"2","y', 'z","w"', '"3","v"']
    assert sorted(row[:2] for row in read(end.join(lines).encode(), width=2)) == [
        ("1", "x"),
        ("2", "y"),
        ("3", "v"),
        ('z"', "w"),
    ]
