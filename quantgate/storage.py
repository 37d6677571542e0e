"""Files that are whole or not there: atomic writes, staged folders, digests and strict JSON.

Nothing here takes a lock. Temporary names are unique, they lie in the target's own folder, and the
last step is one rename, so two runs on one folder leave one whole file: right even on network file
systems where a lock does nothing. A killed run leaves `.<name>.<pid>-<random>.tmp` entries; they
belong to somebody and are never deleted by another run.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from quantgate.errors import InvalidMeasurement

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EACCES, errno.EPERM})
_UNABLE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_LONGEST_STEM = 80  # a temporary name must fit in 255 bytes, whatever script the name is in


def storage_fault(error: OSError, path: Path) -> InvalidMeasurement:
    """Return the named fault for an `OSError` met while writing `path`.

    Codes: `storage-full` (no space, quota or file size limit), `storage-read-only`,
    `storage-denied`, and `storage-failed` for everything else.
    """
    if error.errno in _FULL:
        code, fix = "storage-full", "free space there, raise the quota, or choose another folder"
    elif error.errno == errno.EROFS:
        code, fix = "storage-read-only", "choose a folder on a writable file system"
    elif error.errno in _DENIED:
        code, fix = "storage-denied", "give this user the right to write there"
    else:
        code, fix = "storage-failed", "check the file system, then run again"
    found = error.strerror or str(error)
    return InvalidMeasurement(code, need=f"to write {path}", found=found, fix=fix)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_fault(error, path) from error


def _temporary_beside(path: Path) -> Path:
    stem = path.name.encode("utf-8", "replace")[:_LONGEST_STEM].decode("utf-8", "ignore")
    return path.with_name(f".{stem}.{os.getpid()}-{secrets.token_hex(8)}.tmp")


def _write_new(path: Path, data: bytes) -> None:
    """Create `path`, which must not exist, and hand `data` to the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, 0o666)  # the umask applies, as to any file the user makes
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; some file systems and Windows can't sync folders, and need not."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old bytes or the new, never a part.

    Missing parent folders are made.

    Raises:
        InvalidMeasurement: the disk is full, read-only or refuses (codes of `storage_fault`); the
            old file is intact and no temporary file is left.
    """
    temporary = _temporary_beside(path)
    try:
        with _named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_new(temporary, data)
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_tree(folder: Path) -> None:
    """Sync every file under `folder`: a rename must not outlive the bytes it publishes."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            # Windows syncs only what is open for writing; elsewhere read-only files sync too.
            handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _publish(temporary: Path, final: Path) -> None:
    """Rename `temporary` to `final`, unless another run has published it first."""
    try:
        temporary.rename(final)
    except OSError as error:
        if not (error.errno in _TAKEN and final.is_dir()):
            raise
    else:
        _sync_folder(final.parent)


@contextlib.contextmanager
def staged_directory(final: Path) -> Iterator[Path]:
    """Yield a unique empty folder beside `final`, which becomes `final` when the block succeeds.

    `final` must name its content (a digest in its name): when another run has published it by then,
    that one is kept and this one dropped. On any error the staged folder is removed.

    Raises:
        InvalidMeasurement: the folder can't be made or published, or the disk turned out full or
            read-only inside the block (codes of `storage_fault`); other errors of the block pass
            unchanged.
    """
    temporary = _temporary_beside(final)
    try:
        with _named(final):
            temporary.mkdir(parents=True)
        yield temporary
        with _named(final):
            _sync_tree(temporary)
            _publish(temporary, final)
    except OSError as error:
        if error.errno in _FULL or error.errno == errno.EROFS:
            raise storage_fault(error, final) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_free_space(folder: Path, needed_bytes: int) -> None:
    """Check before a long run that `folder` (which need not exist yet) can take its results.

    Raises:
        InvalidMeasurement: code `storage-full`, with the bytes needed and free.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < needed_bytes:
        raise InvalidMeasurement(
            "storage-full",
            need=f"{needed_bytes:,} free bytes for {folder}",
            found=f"{free_bytes:,} free bytes",
            fix="free space there, or choose another folder",
        )


def reserve(path: Path) -> None:
    """Give every byte of a file its place on the disk, as far as system and file system can.

    A file that was only made long has holes. Where one can't be filled, because the disk is full by
    then, the system kills the process that writes there through a mapping (SIGBUS).

    Raises:
        InvalidMeasurement: the disk can't take it or refuses (codes of `storage_fault`).
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with _named(path), path.open("rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in blocks; OSError where it can't be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(obj: object) -> bytes:
    """Return the one JSON text of `obj`: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: NaN or infinity, or text that is not Unicode (lone surrogates).
        TypeError: something JSON has no form for.
    """
    text = json.dumps(
        obj, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.encode("utf-8")
