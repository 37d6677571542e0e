"""The journal's SQLite file: sound and of this schema, or moved aside, or done without.

Any number of processes share one file, with SQLite's locks and no other. Its write-ahead log keeps
every committed transaction when a process is killed at any moment; `synchronous=NORMAL` may lose
the last ones when the machine itself loses power, and leaves a sound file even then. An unfit file
is renamed, never deleted.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TypeVar

SCHEMA = 1
BUSY_SECONDS = 30.0
ALONE_SECONDS = 5.0

# The payload comes last: what reads only the other columns never touches its pages.
_TABLE = """CREATE TABLE batches (
    run TEXT NOT NULL,
    number INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    length INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (run, number)
)"""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_T = TypeVar("_T")


class JournalFile:
    """Runs statements on the file at `path`, whatever befalls the file; one thread at a time.

    Attributes:
        warnings: a line for a file that was moved aside, and one for the end of the journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []
        self._database: sqlite3.Connection | None = None
        self._lock = Lock()
        self._off = False

    def attempt(
        self, action: Callable[[sqlite3.Connection], _T], missing: _T, *, create: bool = False
    ) -> _T:
        """Return what `action` returns, given a connection in autocommit mode.

        A damaged file is moved aside, and `action` runs again on a fresh one. A file that stays
        unfit, or a disk that refuses, ends the journal for this process, with one warning; no error
        of SQLite or the system is raised.

        Args:
            action: reads or writes; may run twice.
            missing: what to return where there is no file, or none that serves.
            create: make the file where there is none.
        """
        with self._lock:
            try:
                try:
                    return self._act(action, missing, create)
                except sqlite3.DatabaseError as error:
                    if not _is_damage(error):
                        raise
                    self._replace(error)
                return self._act(action, missing, create)
            except (sqlite3.Error, OSError) as error:
                self._off = True
                self._disconnect()
                self.warnings.append(
                    f"{self.path}: the journal failed ({error}); results are unaffected, but if "
                    "this run is killed, what comes from here on is computed again"
                )
        return missing

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def _act(self, action: Callable[[sqlite3.Connection], _T], missing: _T, create: bool) -> _T:
        if self._off or not (create or self._database or self.path.exists()):
            return missing
        if self._database is None:
            self._database = _open(self.path)
        return action(self._database)

    def _replace(self, error: sqlite3.DatabaseError) -> None:
        self._disconnect()
        if aside := _set_aside(self.path):
            self.warnings.append(
                f"{self.path}: not a sound journal of this version ({error}); moved to "
                f"{aside.name}, its batches are computed again"
            )

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):  # what was committed stays, folded in or not
                database.close()

    def __del__(self) -> None:
        self.close()


class _OtherSchema(sqlite3.DatabaseError):
    """The file is a database, but not one of this schema."""


def _is_damage(error: Exception) -> bool:
    """Whether `error` says that the file itself is unfit, and not that it's busy or refused."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of the bits refine the code
    return isinstance(error, _OtherSchema) or code in _DAMAGED


def _open(path: Path) -> sqlite3.Connection:
    """Return a connection in autocommit mode; file, folder and schema are made where missing.

    Raises:
        _OtherSchema: the database has other tables or another version.
        sqlite3.Error: the file is no database, damaged, locked for `BUSY_SECONDS` or refused.
        OSError: the folder can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    database = _connect(path)
    try:
        if not _has_schema(database):
            _begin(database)
        database.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        database.close()
        raise
    return database


def _set_aside(path: Path) -> Path | None:
    """Move the file and its log to a new name beside it, so that a fresh one can begin.

    Returns:
        The new name; None where the file is sound, for another process has replaced it meanwhile.

    Raises:
        sqlite3.Error: another process is using the file, or the disk refuses.
        OSError: the file can't be renamed.
    """
    # An empty database serves as the lock: the system frees it when its holder is killed.
    with closing(_connect(Path(f"{path}.lock"))) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        if _usable(path):
            return None
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{secrets.token_hex(3)}")
        for suffix in ("-wal", "-shm", ""):  # the file last: killed in between, it is still unfit
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
        return aside


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    database.text_factory = bytes  # damaged text is to be read, not to fail as UTF-8
    return database


def _has_schema(database: sqlite3.Connection) -> bool:
    """Whether the table is there; False in an empty database."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    tables = database.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL").fetchall()
    if (version, tables) == (SCHEMA, [(_TABLE.encode(),)]):
        return True
    if (version, tables) == (0, []):
        return False
    raise _OtherSchema(f"schema {version}, not {SCHEMA}, or other tables")


def _begin(database: sqlite3.Connection) -> None:
    """Make the schema, unless another process is first."""
    # These two are possible only before the first page is written. Payloads of megabytes are stored
    # twice as fast on pages of this size as on the usual 4096 bytes.
    database.execute("PRAGMA page_size=16384")
    database.execute("PRAGMA auto_vacuum=INCREMENTAL")
    # Fails while another process does the same, and where the file system has no shared memory;
    # the rollback journal is as safe, only slower.
    with suppress(sqlite3.OperationalError):
        database.execute("PRAGMA journal_mode=WAL")
    database.execute("BEGIN IMMEDIATE")
    with database:
        if not _has_schema(database):
            database.execute(_TABLE)
            database.execute(f"PRAGMA user_version={SCHEMA}")


def _usable(path: Path) -> bool:
    """Whether the file is sound; if it isn't, nobody else has it open on return."""
    with closing(_connect(path)) as database:
        try:
            with suppress(_OtherSchema):
                _has_schema(database)
                if database.execute("PRAGMA quick_check(1)").fetchone() == (b"ok",):
                    return True
            _leave_log(database)
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise
    return False


def _leave_log(database: sqlite3.Connection) -> None:
    """Fold the log into the file, which SQLite refuses while anybody else is connected.

    A file renamed under another process would be parted from the log that process goes on writing.
    """
    deadline = time.monotonic() + ALONE_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            # No busy timeout applies here, and another process may only be looking.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
