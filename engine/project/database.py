"""The project's database: its tables, their versions, its connection, and what its failures mean."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.artifacts import storage_error
from engine.errors import EngineError, ErrorCode, bad_file, invalid_input

APPLICATION_ID = 0x54525054  # "TRPT", in the file's header
_HEADER_SIZE = 100
_SQLITE_MAGIC = b"SQLite format 3\0"

# MIGRATIONS[n] brings a database of schema n to n + 1; the first one makes it from nothing.
# Never change one that was released: append another.
MIGRATIONS: list[Sequence[str]] = [
    (
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY,
            spec TEXT NOT NULL,
            state TEXT NOT NULL,
            created REAL NOT NULL,
            started REAL,
            ended REAL,
            error TEXT,
            metrics TEXT NOT NULL DEFAULT '{}',
            position INTEGER NOT NULL
        )""",
        "CREATE INDEX jobs_by_state ON jobs (state, position)",
        "CREATE INDEX jobs_by_position ON jobs (position)",
        """CREATE TABLE results (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            job TEXT NOT NULL,
            name TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            media_type TEXT NOT NULL,
            size INTEGER NOT NULL,
            kind TEXT NOT NULL,
            seed INTEGER,
            prompt TEXT NOT NULL,
            model TEXT NOT NULL,
            width INTEGER,
            height INTEGER,
            search TEXT NOT NULL,
            created REAL NOT NULL,
            starred INTEGER NOT NULL DEFAULT 0,
            liked INTEGER NOT NULL DEFAULT 0,
            removed INTEGER NOT NULL DEFAULT 0,
            UNIQUE (job, name)
        )""",
        # In the order of the history, with the flags it is filtered by: no sorting, no table look-ups.
        "CREATE INDEX results_in_order ON results (removed, id, starred, liked)",
        # Apart from `results`, so that listing and searching those reads little.
        """CREATE TABLE manifests (
            result INTEGER PRIMARY KEY REFERENCES results,
            manifest TEXT NOT NULL
        )""",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
]
_TABLES = ("jobs", "results", "manifests", "settings")


class Database:
    """The open database: one connection, one thread at a time.

    Raises
    ------
    EngineError
        ``bad_file`` as :func:`check_header`; ``invalid_input`` when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.guard = threading.RLock()
        self._connection: sqlite3.Connection | None = _connect(path)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._connection is None

    def close(self) -> None:
        """Close it; more than once is harmless."""
        with self.guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def rows(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self.guard, database_errors(self.path):
            return self._open_connection().execute(query, tuple(values)).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything done within, or nothing of it."""
        with self.guard, database_errors(self.path):
            connection = self._open_connection()
            with _transaction(connection):
                yield connection

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            message = f"The project {self.path.parent} is closed; nothing was changed."
            raise invalid_input(message, "Open it again.")
        return self._connection


def check_header(path: Path) -> None:
    """Look at the file without opening it as a database, which could change it.

    Raises
    ------
    EngineError
        ``bad_file`` when it is no project database, damaged, or of a newer Triptych.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
    except OSError as error:
        raise bad_file(
            f"The project file {path} cannot be read: {error.strerror}. Nothing was changed.",
            "Check the file's permissions and the disk.",
        ) from error
    if len(header) < _HEADER_SIZE or not header.startswith(_SQLITE_MAGIC):
        raise _damaged(path, "the file's beginning is not that of a database")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise bad_file(
            f"{path} is a database of another program. It was not changed.",
            "Choose a folder that Triptych made, or another folder for a new project.",
        )
    _check_version(path, int.from_bytes(header[60:64], "big"))


def create_database(path: Path) -> None:
    """Make an empty database. It gets its name last, so that a kill leaves none rather than half."""
    partial = path.with_name(f"{path.name}.partial")
    with database_errors(path):
        partial.unlink(missing_ok=True)
        # What a lost database left behind must not be taken for the log of the new one.
        for suffix in ("-wal", "-shm"):
            leftover = path.with_name(path.name + suffix)
            if leftover.exists():
                leftover.replace(path.with_name(f"{leftover.name}.old"))
        with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            _migrate(connection)
        partial.replace(path)


def _connect(path: Path) -> sqlite3.Connection:
    """Open, check and, where an older Triptych wrote it, migrate."""
    check_header(path)
    with database_errors(path), contextlib.ExitStack() as on_error:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        on_error.callback(connection.close)
        # Once more: the newest header may still be in the write-ahead log.
        _check_version(path, connection.execute("PRAGMA user_version").fetchone()[0])
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
        for table in _TABLES:
            connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
        on_error.pop_all()
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the newest schema, all or nothing."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < len(MIGRATIONS):
        with _transaction(connection):
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into an :class:`EngineError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error
    except OSError as error:
        raise storage_error(error, path, "Nothing was changed") from error


def _damaged(path: Path, detail: str) -> EngineError:
    """The database cannot be trusted any more."""
    return bad_file(
        f"The project's database {path} is damaged. It was not changed; the results are still in "
        "the folder 'artifacts' beside it.",
        f"Restore {path.name} from a backup. Without one, move it out of the project's folder and "
        "make a new project in that folder: results and their settings come back, the queue, stars "
        "and ratings do not.",
        detail,
    )


def _check_version(path: Path, version: int) -> None:
    if version > len(MIGRATIONS):
        raise bad_file(
            f"The project {path.parent} was written by a newer Triptych (project schema {version}, "
            f"this version reads up to {len(MIGRATIONS)}). It was not changed.",
            "Update Triptych to open it.",
        )


def _translate(error: sqlite3.Error, path: Path) -> EngineError:
    detail = f"{type(error).__name__}: {error}"
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # without the extended part
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such table" in str(error):
        return _damaged(path, detail)
    if code == sqlite3.SQLITE_FULL:
        reason, hint = "the disk is full", "Free some space, then try again."
    elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        reason = "its folder cannot be written"
        hint = "Allow writing there, or copy the project to another folder."
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        reason, hint = "another program is using it", "Close the other program, then try again."
    elif code == sqlite3.SQLITE_IOERR:
        reason, hint = "the disk reports an error", "Check that the disk is connected and not full."
    else:
        return EngineError(
            ErrorCode.INTERNAL,
            f"The project's database {path} refused an operation. The step was not done; what was "
            "saved before is kept.",
            "Please report this with the log.",
            detail,
        )
    refused = invalid_input(
        f"The project {path.parent} could not be changed: {reason}. What was saved before is kept.",
        hint,
    )
    refused.detail = detail
    return refused
