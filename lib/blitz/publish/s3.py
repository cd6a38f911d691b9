"""Outputs on S3, which has neither renames nor a swap.

1. Spark writes the table to the staging prefix ``P/.N.blitz-RUN/``, where it is checked.
2. Each staged object is copied server-side, part by part, into a multipart upload of its final key below ``P/N/``.
   An upload that is not completed is invisible to readers, so until here they see the old table alone.
3. The journal ``P/.N.blitz.journal`` records uploads and old objects: the point of no return.
4. ``_SUCCESS`` is deleted, the uploads are completed (in parallel, no bytes move), the old objects are deleted (1000
   per call), ``_SUCCESS`` is written.

Step 4 takes about a second for a few hundred files. A reader that lists ``P/N/`` in it may see rows of both tables, and
one that listed before may find files missing; ``_SUCCESS`` is absent meanwhile. A run that dies before step 3 changed
nothing that a reader can see; if one dies in step 4, the next run, or ``recover``, completes it. Delta has no such gap.
"""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from blitz import storage
from blitz.errors import PublishError
from blitz.publish.lock import LeaseConflict, LeaseState, LockGuard, lease
from blitz.publish.tree import refuse_foreign
from blitz.storage.s3 import Conflict, S3Files, S3Object, split

T = TypeVar("T")
R = TypeVar("R")
THREADS = 32
PART_BYTES = 512 * 1024 * 1024  # S3 copies parts of 5 MiB to 5 GiB; smaller parts are copied in parallel


@dataclass
class Upload:
    """A multipart upload that holds a copy of a staged object: final key, id, entity tags of its parts."""

    key: str
    upload_id: str
    parts: list[str]


class S3LeaseFile:
    """A lease as an object with conditional writes; its age is measured by the clock of S3.

    See ``LeaseFile`` for what each method returns and raises.
    """

    def __init__(self, files: S3Files, path: str) -> None:
        self.path, self._files = path, files

    def create(self, data: bytes) -> str:
        """Create the file and return its tag; LeaseConflict where it exists."""
        return self._put(data, if_absent=True)

    def replace(self, data: bytes, tag: str) -> str:
        """Replace the content and return the new tag; LeaseConflict where the file no longer has ``tag``."""
        return self._put(data, if_etag=tag)

    def _put(self, data: bytes, **condition: Any) -> str:
        try:
            return self._files.put(self.path, data, **condition)
        except Conflict as error:
            raise LeaseConflict from error

    def read(self) -> LeaseState | None:
        """The lease as it is now; None where there is no file."""
        bucket, key = split(self.path)
        with self._files.translate_errors(self.path):
            try:
                found = self._files.client.get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise
            now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
            age = (now - found["LastModified"]).total_seconds()
            return LeaseState(found["Body"].read(), found["ETag"], max(age, 0.0))

    def remove(self) -> None:
        """Remove the file; a missing one is no error."""
        bucket, key = split(self.path)
        self._files.delete_keys(bucket, [key], self.path)


class S3Store:
    """An output prefix in a bucket; see ``Store`` for what each method returns and raises.

    Raises PublishError for a whole bucket.
    """

    def __init__(self, path: str) -> None:
        self._path, self._files = path.rstrip("/"), storage.s3_files()
        self._bucket, self._key = split(self._path)
        self._folder, _, self._name = self._path.rpartition("/")
        if not self._key:
            raise PublishError("a whole bucket cannot be an output; add a folder name", path=path)
        self._head = self._path.removesuffix(self._key)
        self._journal = f"{self._folder}/.{self._name}.blitz.journal"

    def lock(self, run_id: str) -> AbstractContextManager[LockGuard]:
        """Lock the output by a lease; PublishError at once where a living run has the lock."""
        lock_path = f"{self._folder}/.{self._name}.blitz.lock"
        return lease(S3LeaseFile(self._files, lock_path), self._path, run_id)

    def staging(self, run_id: str) -> str:
        """The hidden prefix next to the output in which a run prepares its table."""
        return f"{self._folder}/.{self._name}.blitz-{run_id}"

    def is_delta(self) -> bool:
        """Whether the output is a Delta table now."""
        log = self._files.objects(self._bucket, f"{self._key}/_delta_log/", self._path)
        return any(item.key.endswith((".json", ".parquet")) for item in log)

    def refuse_foreign(self) -> None:
        """Raise PublishError where the output contains anything that is not part of a table."""
        single = self._files.head(self._bucket, self._key, self._path)
        if single is not None and single.size > 0:
            refuse_foreign(self._path, None, storage.read_bytes(self._path, 4))
        below = [item.key[len(self._key) + 1 :] for item in self._below()]
        refuse_foreign(self._path, sorted({(key.split("/")[0], "/" in key) for key in below if key}), b"")

    def _below(self) -> Iterable[S3Object]:
        return self._files.objects(self._bucket, f"{self._key}/", self._path)

    def recover(self) -> None:
        """Complete the swap of a run that died after its point of no return; remove what any dead run left."""
        if storage.exists(self._journal):
            done = {item.key for item in self._below()}
            self._complete(json.loads(storage.read_bytes(self._journal)), done)
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        prefix = split(f"{self._folder}/.{self._name}.blitz-")[1]
        left = [item.key for item in self._files.objects(self._bucket, prefix, self._path)]
        if left:
            self._abort_uploads({f"{self._key}/{key.removeprefix(prefix).partition('/')[2]}" for key in left})
            self._files.delete_keys(self._bucket, left, self._path)

    def _abort_uploads(self, keys: set[str]) -> None:
        """Abort the uploads that contain copies of staged objects, and no others."""
        with self._files.translate_errors(self._path):
            pages = self._files.client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._key}/"):
                for found in page.get("Uploads", ()):
                    if found["Key"] in keys:
                        self._files.client.abort_multipart_upload(
                            Bucket=self._bucket, Key=found["Key"], UploadId=found["UploadId"]
                        )

    def swap(self, run_id: str) -> None:
        """Replace the output by the staged table, in steps 2 to 4 above."""
        staged_prefix = split(self.staging(run_id))[1] + "/"
        staged = [item for item in self._files.objects(self._bucket, staged_prefix, self._path) if item.size > 0]
        old = [item.key for item in self._below()]
        if self._files.head(self._bucket, self._key, self._path) is not None:
            old.append(self._key)
        keys = [f"{self._key}/{item.key.removeprefix(staged_prefix)}" for item in staged]
        clash = sorted(set(keys) & set(old))
        if clash:  # Spark gives the files of each job new names; other writers may not
            raise PublishError("the old table has a file of the same name; run again", path=f"{self._head}{clash[0]}")
        uploads = self._copy(staged, keys)
        journal = {"run_id": run_id, "old": old, "uploads": [asdict(upload) for upload in uploads]}
        self._files.put(self._journal, json.dumps(journal).encode())
        self._complete(journal, done=set())

    def _copy(self, staged: list[S3Object], keys: list[str]) -> list[Upload]:
        """Copy objects into uploads that no reader sees yet."""
        start = self._files.client.create_multipart_upload
        ids = self._each(lambda key: str(start(Bucket=self._bucket, Key=key)["UploadId"]), keys)
        uploads = [Upload(key, upload_id, []) for key, upload_id in zip(keys, ids, strict=True)]
        parts = [
            (upload, item, number, first)
            for upload, item in zip(uploads, staged, strict=True)
            for number, first in enumerate(range(0, item.size, PART_BYTES), start=1)
        ]
        for (upload, *_), etag in zip(parts, self._each(self._copy_part, parts), strict=True):
            upload.parts.append(etag)
        return uploads

    def _copy_part(self, part: tuple[Upload, S3Object, int, int]) -> str:
        upload, item, number, first = part
        answer = self._files.bulk.upload_part_copy(
            Bucket=self._bucket,
            Key=upload.key,
            UploadId=upload.upload_id,
            PartNumber=number,
            CopySource={"Bucket": self._bucket, "Key": item.key},
            CopySourceRange=f"bytes={first}-{min(first + PART_BYTES, item.size) - 1}",
            CopySourceIfMatch=item.etag,
        )
        return str(answer["CopyPartResult"]["ETag"])

    def _complete(self, journal: dict[str, Any], done: set[str]) -> None:
        """Make the new objects visible and delete the old ones.

        ``done`` has the keys of uploads that were completed before, so that an interrupted call can be repeated.
        """
        success = f"{self._key}/_SUCCESS"
        self._files.delete_keys(self._bucket, [success], self._path)
        # A Delta table exists from its first log entry on, so the entry comes after the data.
        uploads = [Upload(**upload) for upload in journal["uploads"] if upload["key"] not in done]
        for batch in (
            [upload for upload in uploads if "/_delta_log/" not in upload.key],
            [upload for upload in uploads if "/_delta_log/" in upload.key],
        ):
            self._each(self._complete_one, batch)
        self._files.delete_keys(self._bucket, [key for key in journal["old"] if key != success], self._path)
        self._files.put(f"{self._head}{success}", b"")
        self._files.delete_keys(self._bucket, [split(self._journal)[1]], self._path)

    def _complete_one(self, upload: Upload) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(upload.parts, start=1)]
        try:
            self._files.bulk.complete_multipart_upload(
                Bucket=self._bucket, Key=upload.key, UploadId=upload.upload_id, MultipartUpload={"Parts": parts}
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchUpload":
                raise
            raise PublishError(
                f"the swap of a dead run cannot be completed, its copies have expired; "
                f"delete {self._journal} and run again",
                path=self._path,
            ) from error

    def _each(self, call: Callable[[T], R], items: list[T]) -> list[R]:
        with self._files.translate_errors(self._path), ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(call, items))

    def discard(self, run_id: str) -> None:
        """Remove the output, ``_SUCCESS`` first."""
        success = f"{self._key}/_SUCCESS"
        keys = [item.key for item in self._below() if item.key != success]
        self._files.delete_keys(self._bucket, [success, *keys, self._key], self._path)

    def clean(self, run_id: str) -> None:
        """Remove the staging prefix of this run, and the folder markers of EMRFS next to it."""
        self._remove_leftovers()
