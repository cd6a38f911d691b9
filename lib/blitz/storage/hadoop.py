"""Files that only Hadoop can reach (``hdfs://``, ``abfss://``, ``gs://``), through a classic SparkSession's JVM."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.sql import SparkSession

from blitz.errors import InputError
from blitz.storage.base import FileInfo, is_glob, is_hidden


def _session() -> Any:
    # The active session is per thread; a worker thread finds the process's own.
    return SparkSession.getActiveSession() or getattr(SparkSession, "_instantiatedSession", None)


def _jvm_view() -> Any:
    session = _session()
    return getattr(session, "_jvm", None) if hasattr(session, "_jsparkSession") else None


def has_jvm() -> bool:
    """Whether there is a classic session, and so a JVM with Hadoop's file systems."""
    return _jvm_view() is not None


def jvm(path: str) -> Any:
    """The JVM view of the active classic session; InputError where there is none (no session, or Spark Connect)."""
    view = _jvm_view()
    if view is None:
        raise InputError(
            "this scheme needs a classic SparkSession, and none is active; use a local path, /Volumes/… or s3://, or "
            "run with spark-submit",
            path=path,
        )
    return view


def file_system(path: str) -> tuple[Any, Any]:
    """Hadoop's FileSystem for a path, with the session's own Hadoop settings, and the path as Hadoop's Path."""
    view = jvm(path)
    session = _session()
    with translate_errors(path):
        target = view.org.apache.hadoop.fs.Path(path)
        return target.getFileSystem(session._jsparkSession.sessionState().newHadoopConf()), target


class HadoopFiles:
    """The Hadoop backend; see ``Backend`` for what each method returns and raises."""

    def list_files(self, path: str) -> list[FileInfo]:
        """The data files of a file, a folder (recursive) or a glob, sorted by path."""
        files, target = file_system(path)
        with translate_errors(path):
            if is_glob(path):
                roots = list(files.globStatus(target) or ())
            else:
                roots = [files.getFileStatus(target)] if files.exists(target) else []
            found = {info for root in roots for info in _walk(files, root)}
        return sorted(info for info in found if info.size > 0)

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of exactly this path."""
        files, target = file_system(path)
        with translate_errors(path):
            return bool(files.exists(target))

    def read_bytes(self, path: str, limit: int | None) -> bytes:
        """The content of a file, or its first ``limit`` bytes."""
        files, target = file_system(path)
        with translate_errors(path):
            size = files.getFileStatus(target).getLen()
            stream = files.open(target)
            try:
                # A Java byte array crosses the gateway by value, so it has to be made on the other side.
                wanted = size if limit is None else min(size, limit)
                return bytes(jvm(path).org.apache.commons.io.IOUtils.toByteArray(stream, int(wanted)))
            finally:
                stream.close()

    def open_input(self, path: str) -> BinaryIO:
        """A file opened for reading; the content is read into memory."""
        return BytesIO(self.read_bytes(path, None))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file."""
        files, target = file_system(path)
        with translate_errors(path):
            stream = files.create(target, True)
            try:
                stream.write(bytearray(data))
            finally:
                stream.close()

    def copy(self, source: str, target: str) -> None:
        """Copy a file through this machine."""
        (files, old), (other, new) = file_system(source), file_system(target)
        with translate_errors(source):
            jvm(source).org.apache.hadoop.fs.FileUtil.copy(files, old, other, new, False, files.getConf())

    def delete(self, path: str) -> None:
        """Delete a file, or a folder with everything below; a missing one is no error."""
        files, target = file_system(path)
        if target.isRoot():
            raise InputError("refusing to delete the root of a file system", path=path)
        with translate_errors(path):
            files.delete(target, True)


def _walk(files: Any, status: Any) -> Iterator[FileInfo]:
    if status.isFile():
        yield FileInfo(status.getPath().toString(), status.getLen(), status.getModificationTime() / 1000)
        return
    for child in files.listStatus(status.getPath()):
        if not is_hidden(child.getPath().getName()):
            yield from _walk(files, child)


@contextmanager
def translate_errors(path: str) -> Iterator[None]:
    """Turn a Java exception into one line that names the path."""
    try:
        yield
    except Py4JJavaError as error:
        cause = error.java_exception
        name, text = cause.getClass().getSimpleName(), str(cause.getMessage() or "")
        line = (text.splitlines() or [""])[0][:200]
        hint = {
            "FileNotFoundException": "no such file or folder; check the path in the config",
            "AccessControlException": "permission denied; give the user of this run access to it",
            "UnsupportedFileSystemException": "Spark lacks a driver for this scheme; add it to spark.jars.packages",
        }.get(name, f"Hadoop answered {name}: {line}")
        raise InputError(hint, path=path) from error
    except Py4JError as error:
        raise InputError("the Spark session is gone or not classic; run with spark-submit", path=path) from error
