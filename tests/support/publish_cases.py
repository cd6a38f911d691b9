"""What every storage must do when a table is published, checked on a local disk, on S3 and on Hadoop."""

from typing import Any

import pytest

from blitz import storage
from blitz.errors import PublishError
from blitz.publish.files import recover
from publish_helpers import NEW, OLD, put, seen, write_rows


def check_publishing(folder: str) -> None:
    """Below ``folder``: replace a table, keep it after a failure, lock it, and never overwrite other files."""
    path = f"{folder}/t"
    assert put("old", path).rows == 30 and seen(path) == OLD
    assert put("new", path, "r2").rows == 30 and seen(path) == NEW

    def meet_and_fail(df: Any, staging: str) -> None:
        write_rows(df, staging)
        for meet in (lambda: put("old", path, "second"), lambda: recover(path)):
            with pytest.raises(PublishError, match=f"^{path}: run first .*is publishing to this output"):
                meet()
        raise KeyError("a failure of the writer")

    with pytest.raises(KeyError, match="a failure of the writer"):
        put("old", path, "first", write=meet_and_fail)
    assert seen(path) == NEW
    assert storage.list_files(f"{folder}/.t*") == []  # neither lock nor staged files are left

    storage.write_bytes(f"{folder}/other/notes.txt", b"x")
    storage.write_bytes(f"{folder}/text", b"some text")
    with pytest.raises(PublishError, match=r"/other: contains files that are not part of a table \(notes.txt\); refus"):
        put("new", f"{folder}/other")
    with pytest.raises(PublishError, match="/text: is a file that is not Parquet; refusing to overwrite"):
        put("new", f"{folder}/text")
    assert (
        storage.read_bytes(f"{folder}/other/notes.txt") == b"x" and storage.read_bytes(f"{folder}/text") == b"some text"
    )
