"""What a JVM writes to stderr is passed on as it comes, without the line that every start of Spark 4 prints."""

import os
import threading

import pytest

from blitz.spark.quiet import copy_without_noise

NOISE = b"WARNING: Using incubator modules: jdk.incubator.vector\n"


def passed_on(chunks: list[bytes]) -> bytes:
    """What comes out of the copy of ``chunks``, each written on its own."""
    source, sink = os.pipe()
    out, target = os.pipe()
    copying = threading.Thread(target=copy_without_noise, args=(source, target))
    copying.start()
    for chunk in chunks:
        os.write(sink, chunk)
    os.close(sink)
    copying.join(10)
    with os.fdopen(out, "rb") as reader:
        return reader.read()


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([NOISE], b""),
        ([NOISE[:20], NOISE[20:], b"error\n"], b"error\n"),
        ([b"Error: Unable to ", b"access jarfile\n" + NOISE + b"OutOfMemoryError"], b"Error: Unable to access jarfile\nOutOfMemoryError"),
        ([b"WARNING: something else\n", b"WARNING: Using"], b"WARNING: something else\nWARNING: Using"),
        ([b"\r[Stage 0:>  (0 + 2) / 4]", b"\r[Stage 0:=> (2 + 2) / 4]"], b"\r[Stage 0:>  (0 + 2) / 4]\r[Stage 0:=> (2 + 2) / 4]"),
        ([], b""),
    ],
)  # fmt: skip
def test_only_the_noise_is_left_out(chunks, expected):
    assert passed_on(chunks) == expected


def test_an_unfinished_line_is_passed_on_at_once():
    source, sink = os.pipe()
    out, target = os.pipe()
    threading.Thread(target=copy_without_noise, args=(source, target), daemon=True).start()
    os.write(sink, b"\r[Stage 0:>")
    assert os.read(out, 100) == b"\r[Stage 0:>"
    os.close(sink)
    assert os.read(out, 100) == b""
    os.close(out)
