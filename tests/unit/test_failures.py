"""What a person is told when Spark, Java or a Python worker fails: the innermost cause in one line, never a trace."""

import pytest

from blitz.spark.failures import reason


class Py4JJavaError(Exception):
    """As py4j's: its text is the call and Java's trace."""


class Py4JNetworkError(Exception):
    pass


class PythonException(Exception):
    pass


TASK = """An error occurred while calling o3115.parquet.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 1 in stage 4.0 failed 1 times, most recent failure: Lost task 1.0 in stage 4.0 (TID 9) (host executor driver): java.io.IOException: No space left on device
\tat java.base/sun.nio.ch.FileDispatcherImpl.write0(Native Method)
\t... 3 more
"""
NESTED = """An error occurred while calling o12.parquet.
: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows.
\tat org.apache.spark.Some.where(Some.scala:1)
Caused by: java.lang.RuntimeException: first
\tat a.B.c(B.java:2)
Caused by: org.apache.parquet.io.ParquetDecodingException: Can not read value at 0
\tat a.B.c(B.java:2)
"""
PLAIN = "An error occurred while calling None.x.JavaSparkContext.\n: org.apache.spark.SparkException: Could not parse Master URL: 'x'\n\tat a.b"
WORKER = """
An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "/x/worker.py", line 1, in main
    raise Error
ValueError: 3 features, not 2
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Py4JJavaError(TASK), "IOException: No space left on device; free space where Spark keeps its files"),
        (Py4JJavaError(NESTED), "ParquetDecodingException: Can not read value at 0"),
        (Py4JJavaError(PLAIN), "SparkException: Could not parse Master URL: 'x'; set spark.master to local[*]"),
        (PythonException(WORKER), "ValueError: 3 features, not 2"),
        (
            Py4JNetworkError("Answer from Java side is empty"),
            "the Spark process ended: it was killed or ran out of memory",
        ),
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError(), "ValueError: "),
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError("x" * 5000), "ValueError: xxx"),
    ],
)
def test_the_innermost_cause_in_one_line(error, said):
    text = reason(error)
    assert text.startswith(said)
    assert "\n" not in text and "\tat " not in text and len(text) < 500
