"""Files on this machine: plain paths, ``file://``, and the mounts of Databricks (``dbfs:/``, ``/Volumes``)."""

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from blitz.errors import InputError
from blitz.storage.base import FileInfo, expand_braces, is_glob, is_hidden, segment_matches
from blitz.storage.paths import local_path, scheme_of

# FUSE mounts and network shares may lack fsync: a power cut may then lose data, nothing else is affected.
_NO_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS, errno.EACCES, errno.EISDIR, errno.EPERM}


def fsync_path(path: str) -> None:
    """Force a file, or the names in a folder, onto the disk, where the file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(handle)


class LocalFiles:
    """The local backend; see ``Backend`` for what each method returns and raises."""

    def list_files(self, path: str) -> list[FileInfo]:
        """The data files of a file, a folder (recursive) or a glob, sorted by path."""
        local = local_path(path)
        with _translate_errors(path):
            if is_glob(local) and not os.path.lexists(local):
                roots = sorted({root for pattern in expand_braces(local) for root in _glob(pattern)})
            else:
                roots = [local]
            found = {info for root in roots for info in _walk(root)}
        if scheme_of(path) == "dbfs" and not local.startswith("/Volumes/"):
            found = {FileInfo("dbfs:" + info.path.removeprefix("/dbfs"), info.size, info.modified) for info in found}
        return sorted(found)

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of exactly this path."""
        with _translate_errors(path):
            return os.path.exists(local_path(path))

    def read_bytes(self, path: str, limit: int | None) -> bytes:
        """The content of a file, or its first ``limit`` bytes."""
        with _translate_errors(path), open(local_path(path), "rb") as source:
            return source.read() if limit is None else source.read(limit)

    def open_input(self, path: str) -> BinaryIO:
        """A file opened for reading: binary and seekable."""
        with _translate_errors(path):
            return open(local_path(path), "rb")

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file; a reader sees the old content or the new."""
        local = os.path.abspath(local_path(path))
        folder, name = os.path.split(local)
        temporary = os.path.join(folder, f".{name}.{os.getpid()}-{threading.get_ident()}.tmp")
        with _translate_errors(path):
            os.makedirs(folder, exist_ok=True)
            try:
                with open(temporary, "wb") as target:
                    target.write(data)
                fsync_path(temporary)
                os.replace(temporary, local)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
            fsync_path(folder)

    def copy(self, source: str, target: str) -> None:
        """Copy a file: a hard link where the file system has them."""
        local, copied = local_path(source), os.path.abspath(local_path(target))
        with _translate_errors(source):
            os.makedirs(os.path.dirname(copied), exist_ok=True)
            try:
                os.link(local, copied)
            except FileNotFoundError:
                raise
            except OSError:  # another file system, or a mount without links
                shutil.copyfile(local, copied)

    def delete(self, path: str) -> None:
        """Delete a file, or a folder with everything below; a missing one is no error."""
        local = os.path.abspath(local_path(path))
        if local == os.path.dirname(local):
            raise InputError("refusing to delete the root of a file system", path=path)
        with _translate_errors(path):
            if os.path.isdir(local) and not os.path.islink(local):
                shutil.rmtree(local)
            elif os.path.lexists(local):
                os.unlink(local)


def _glob(pattern: str) -> Iterator[str]:
    """The existing paths that match a pattern without braces; segments without a glob character are literal."""
    found = ["/" if pattern.startswith("/") else ""]
    for part in pattern.split("/"):
        if part in ("", "."):
            continue
        if is_glob(part):
            folders = [root for root in found if os.path.isdir(root or ".")]
            found = [os.path.join(d, n) for d in folders for n in os.listdir(d or ".") if segment_matches(part, n)]
        else:
            found = [path for root in found if os.path.lexists(path := os.path.join(root, part))]
    yield from found


def _walk(root: str) -> Iterator[FileInfo]:
    """The files at or below a path, without hidden and empty ones; follows links, but no loops."""
    if not os.path.isdir(root):
        if os.path.isfile(root):
            yield from _info(root)
        return
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_raise):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            if not is_hidden(name):
                yield from _info(os.path.join(folder, name))


def _raise(error: OSError) -> None:
    raise error


def _info(path: str) -> Iterator[FileInfo]:
    # A file deleted since the folder was listed, or a dangling link, is an error: to skip it would lose rows.
    status = os.stat(path)
    if status.st_size > 0:
        yield FileInfo(path, status.st_size, status.st_mtime)


@contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(_reason(path, error), path=path) from error


def _reason(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        mount = "; this machine has no /dbfs mount" if scheme_of(path) == "dbfs" else ""
        return f"no such file or folder{mount}; check the path in the config"
    if isinstance(error, PermissionError):
        return "permission denied; give the user of this run access to it"
    if isinstance(error, IsADirectoryError):
        return "is a folder, a file was expected"
    if isinstance(error, NotADirectoryError | FileExistsError):
        return "a part of the path is a file, a folder was expected"
    if error.errno == errno.ENOSPC:
        return "no space left on the disk; free some or write elsewhere"
    return cast(str, error.strerror) or type(error).__name__
