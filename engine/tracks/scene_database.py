"""The small things of a scene in SQLite: cameras, blocks of boxes, results, the edit log."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from engine.errors import EngineError, bad_file, invalid_input

APPLICATION_ID = 0x54525053  # "TRPS", in the file's header
SCHEMA = 1
_TABLES = (
    """CREATE TABLE cameras (
        position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, data TEXT NOT NULL
    )""",
    "CREATE TABLE classes (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    """CREATE TABLE blocks (
        id INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE, count INTEGER NOT NULL,
        source TEXT NOT NULL
    )""",
    """CREATE TABLE results (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, folder TEXT NOT NULL UNIQUE,
        about TEXT NOT NULL
    )""",
    """CREATE TABLE log (
        number INTEGER PRIMARY KEY, kind TEXT NOT NULL, result INTEGER, target INTEGER,
        text TEXT NOT NULL, made REAL NOT NULL, delta BLOB
    )""",
)


class SceneDatabase:
    """The open database; one thread at a time.

    Parameters
    ----------
    path
        Of the file.
    create
        Make it; it must not exist.

    Raises
    ------
    EngineError
        ``bad_file`` when it is damaged, of another program or of a newer Triptych; ``invalid_input``
        when it cannot be written.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._guard = threading.RLock()
        if not create:
            _check_header(path)
        with self._errors(), contextlib.ExitStack() as on_error:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            on_error.callback(connection.close)
            if create:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute("BEGIN IMMEDIATE")
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
                connection.execute("COMMIT")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise bad_file(
                    f"The scene {path.parent} was written by a newer Triptych. It was not changed.",
                    "Update Triptych to open it.",
                )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            for table in ("cameras", "classes", "blocks", "results", "log"):
                connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
            on_error.pop_all()
        self._connection = connection

    def close(self) -> None:
        """Close it; more than once is harmless."""
        with self._guard:
            self._connection.close()

    def rows(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self._guard, self._errors():
            return self._connection.execute(query, tuple(values)).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything done within, or nothing of it."""
        with self._guard, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise invalid_input(
                f"The scene {self.path.parent} was changed by another program meanwhile, or has this "
                "already. The step was not done.",
                "Open the scene again and repeat it.",
            ) from error
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            if "no such table" in str(error) or "no such column" in str(error):
                raise damaged(self.path, str(error)) from error
            raise invalid_input(
                f"The scene {self.path.parent} could not be changed: {error}. What was saved before "
                "is kept.",
                "Check that its folder can be written, that the disk has room, and that no other "
                "program has it open.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise damaged(self.path, str(error)) from error


def damaged(path: Path, detail: str) -> EngineError:
    """The scene's file cannot be trusted."""
    return bad_file(
        f"The scene's file {path} is damaged ({detail}). It was not changed; the boxes are still in "
        "the folders beside it.",
        "Restore it from a backup, or import the boxes again into a new scene.",
        detail,
    )


def _check_header(path: Path) -> None:
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise bad_file(
            f"{path.parent} is no scene of Triptych: {path.name} cannot be read ({error.strerror}).",
            "Choose the folder that `triptych scene make` or the Tracks page made.",
        ) from error
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise damaged(path, "its beginning is not that of a database")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise bad_file(f"{path} is a database of another program. It was not changed.")
