"""Vectors that a slow network has computed before, on disk, by the content of the pictures."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import platformdirs
from numpy.typing import NDArray

from engine.tracks.appearance.catalogue import Appearance

T = TypeVar("T")
Pixels = NDArray[np.uint8]
Float32 = NDArray[np.float32]

log = logging.getLogger("triptych.tracks")

MOST_BYTES = 1 << 30
_FILE = "features-1.sqlite"
_AT_ONCE = 400


class FeatureCache:
    """Vectors by key, in a file that does not grow beyond a limit: the longest unused go first.

    It is never in the way: when the file cannot be used, that is logged, and everything is computed.

    Parameters
    ----------
    folder
        By default in the user's folder of caches.
    most_bytes
        Of all vectors.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder or platformdirs.user_cache_path("triptych", appauthor=False)
        self._most = most_bytes
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._opened()
        except (OSError, sqlite3.Error) as error:
            log.warning("the cache of features in %s is not used: %s", self._folder, error)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Float32]:
        """Those of the vectors that are there."""

        def look(connection: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
            now, rows = _now(connection), []
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"UPDATE features SET used = ? WHERE key IN ({marks}) RETURNING key, vector"
                rows += connection.execute(query, [now, *some]).fetchall()
            return rows

        nothing: list[tuple[bytes, bytes]] = []
        return {key: np.frombuffer(data, np.float32) for key, data in self._do(look, nothing)}

    def put(self, vectors: Mapping[bytes, Float32]) -> None:
        """Keep vectors."""
        rows = [(key, np.asarray(vector, np.float32).tobytes()) for key, vector in vectors.items()]

        def store(connection: sqlite3.Connection) -> None:
            now = _now(connection) + 1
            connection.executemany(
                "INSERT OR REPLACE INTO features VALUES (?, ?, ?)", [(*row, now) for row in rows]
            )
            self._shrink(connection)

        self._do(store, None)

    @property
    def size(self) -> int:
        """Bytes of all vectors."""
        return self._do(_size, 0)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / _FILE
        try:
            return _connected(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or no room: not damaged
                raise
            log.warning("the cache of features %s is damaged; a new one was begun", path)
            for old in self._folder.glob(f"{_FILE}*"):
                old.unlink()
            return _connected(path)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        over = _size(connection) - self._most
        if over <= 0:
            return
        over += self._most // 10  # more than needed, so that this is not done each time
        doomed = []
        for key, size in connection.execute("SELECT key, LENGTH(vector) FROM features ORDER BY used"):
            doomed.append((key,))
            over -= size
            if over <= 0:
                break
        connection.executemany("DELETE FROM features WHERE key = ?", doomed)

    def _do(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Work on the file, all of it or nothing; a failure ends its use."""
        if self._connection is None:
            return otherwise
        try:
            with self._connection:
                return work(self._connection)
        except sqlite3.Error as error:
            log.warning("the cache of features in %s is not used further: %s", self._folder, error)
            self.close()
            return otherwise


class Cached:
    """A descriptor that computes nothing twice.

    Attributes
    ----------
    computed
        How many vectors were not in the cache.
    """

    def __init__(self, inner: Appearance, cache: FeatureCache) -> None:
        self._inner, self._cache = inner, cache
        self.name, self.identity, self.dimension = inner.name, inner.identity, inner.dimension
        self.computed = 0

    def describe(self, pictures: Sequence[Pixels]) -> Float32:
        """See :class:`~engine.tracks.appearance.catalogue.Appearance`."""
        keys = [self._key(picture) for picture in pictures]
        known = self._cache.get(keys)
        known = {key: vector for key, vector in known.items() if len(vector) == self.dimension}
        new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in known}
        if new:
            fresh = dict(zip(new, self._inner.describe(list(new.values())), strict=True))
            self._cache.put(fresh)
            self.computed += len(new)
            known |= fresh
        return (
            np.stack([known[key] for key in keys])
            if keys
            else np.zeros((0, self.dimension), np.float32)
        )

    def _key(self, picture: Pixels) -> bytes:
        digest = hashlib.blake2b(self.identity.encode(), digest_size=16)
        digest.update(str(picture.shape).encode())
        digest.update(np.ascontiguousarray(picture).data)
        return digest.digest()


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # it may be lost, and is checked when opened
        connection.execute(
            "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, vector BLOB, used INTEGER)"
        )
        connection.execute("CREATE INDEX IF NOT EXISTS by_use ON features (used, LENGTH(vector))")
        connection.execute("SELECT * FROM features LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _now(connection: sqlite3.Connection) -> int:
    """A clock that ticks with each use; of the file, so that several programs share it."""
    return int(connection.execute("SELECT COALESCE(MAX(used), 0) FROM features").fetchone()[0])


def _size(connection: sqlite3.Connection) -> int:
    return int(
        connection.execute("SELECT COALESCE(SUM(LENGTH(vector)), 0) FROM features").fetchone()[0]
    )
